package capture

import "net/netip"

// Chain is a list of rules, walked from the start until one decides.
type Chain struct {
	Name  string
	Hook  Hook // NoHook for chains that are only jumped to
	Rules []Rule
}

// Hook is the place in a packet's way where a chain is walked, and its kind and priority there.
type Hook int

// The hooks in use. Raw ones come before connection tracking, mangle ones before address translation.
const (
	NoHook Hook = iota
	PreroutingNAT
	OutputNAT
	PreroutingRaw
	OutputRaw
	PreroutingMangle
)

// Protocol of the transport layer, as in the IP header.
type Protocol uint8

// The protocols in use; 0 is any.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// Family of addresses, as nftables numbers them; 0 is any.
type Family uint8

// IPv6 is the one family that a rule names without an address.
const IPv6 Family = 10

// Rule is one line: what has to match, all of it, and what then happens. Zero fields match anything.
type Rule struct {
	Family     Family
	In, Out    string // interface that the packet came in by or leaves by
	Source     netip.Prefix
	Dest       netip.Prefix // destination inside
	NotDest    netip.Prefix // destination outside; of the same family
	Proto      Protocol
	SourcePort uint16   // needs Proto
	Port       uint16   // destination port; needs Proto
	NotPorts   []uint16 // destination ports that do not match; needs Proto
	Owner      *Owner   // only for packets that this pod sends
	Invalid    bool     // only packets that belong to no connection
	Do         Verdict
}

// Owner is the user or the group of the process that sent a packet.
type Owner struct {
	UID bool // ID is a user, else a group
	ID  uint32
	Not bool // anybody but this one
}

// Verdict is what happens to a packet that a rule matches.
type Verdict struct {
	Act   Act
	Chain string // of ActJump
	Port  uint16 // of ActRedirect
	Zone  uint16 // of ActZone
}

// Act is the kind of a verdict.
type Act int

// The acts. ActZone ends the chain, so that the first zone found is the one that counts.
const (
	ActReturn Act = iota
	ActJump
	ActRedirect
	ActZone
	ActDrop
)

// Return leaves the chain; at its start the packet passes as it is.
func Return() Verdict { return Verdict{Act: ActReturn} }

// Jump walks another chain and then comes back.
func Jump(chain string) Verdict { return Verdict{Act: ActJump, Chain: chain} }

// Redirect sends the connection to a port of this host.
func Redirect(port uint16) Verdict { return Verdict{Act: ActRedirect, Port: port} }

// Zone tracks the connection apart from those of other zones.
func Zone(zone uint16) Verdict { return Verdict{Act: ActZone, Zone: zone} }

// Drop throws the packet away.
func Drop() Verdict { return Verdict{Act: ActDrop} }
