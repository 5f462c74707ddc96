package occ

// Asks says whom a read asks.
type Asks uint8

// The values of Asks.
const (
	AsksAsSet  Asks = iota // what the level of the context says
	AsksLeader             // the leader, if that level lets another node answer
	AsksWeak               // the leader, at the level weak, whatever the context says
	AsksLog                // the leader, by the Raft log, so that no write is under way beside it
)
