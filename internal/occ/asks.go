package occ

// Asks says which node a read of the driver's own asks, and how.
type Asks uint8

// The values of Asks.
const (
	AsksAsSet  Asks = iota // as the level of the context says
	AsksLeader             // the leader, even if that level lets another node answer
	AsksWeak               // the leader at level weak, whatever the context says
	AsksLog                // the leader through the Raft log, so that no write runs beside the read

	AsksUnlogged       // as the level of the context says, but not through the Raft log
	AsksLeaderUnlogged // the leader, and not through the Raft log
)
