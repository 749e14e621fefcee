package capture

import (
	"fmt"
	"net/netip"
	"strings"
)

// Text is the rules in the language of the nft tool, for people to read and for `nft -f` to check.
func Text(chains []Chain) string {
	var out strings.Builder
	fmt.Fprintf(&out, "table inet %s {\n", Table)
	for _, chain := range chains {
		// Chains that are jumped to have to exist before the jump is read.
		if chain.Hook == NoHook {
			writeChain(&out, chain)
		}
	}
	for _, chain := range chains {
		if chain.Hook != NoHook {
			writeChain(&out, chain)
		}
	}
	out.WriteString("}\n")
	return out.String()
}

func writeChain(out *strings.Builder, chain Chain) {
	fmt.Fprintf(out, "\tchain %s {\n", chain.Name)
	if chain.Hook != NoHook {
		fmt.Fprintf(out, "\t\t%s\n", chain.Hook)
	}
	for _, rule := range chain.Rules {
		fmt.Fprintf(out, "\t\t%s\n", rule)
	}
	out.WriteString("\t}\n")
}

// String is the hook's line in a chain.
func (h Hook) String() string {
	switch h {
	case NoHook:
		return ""
	case PreroutingNAT:
		return "type nat hook prerouting priority dstnat; policy accept;"
	case OutputNAT:
		return "type nat hook output priority -100; policy accept;"
	case PreroutingRaw:
		return "type filter hook prerouting priority raw; policy accept;"
	case OutputRaw:
		return "type filter hook output priority raw; policy accept;"
	case PreroutingMangle:
		return "type filter hook prerouting priority mangle; policy accept;"
	default:
		panic(fmt.Sprintf("unknown hook %d", int(h)))
	}
}

// String is the rule in nft's language.
func (r Rule) String() string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if r.Family == IPv6 {
		add("meta nfproto ipv6")
	}
	if r.In != "" {
		add("iifname %q", r.In)
	}
	if r.Out != "" {
		add("oifname %q", r.Out)
	}
	if r.Source.IsValid() {
		add("%s saddr %s", ipWord(r.Source), r.Source)
	}
	if r.Dest.IsValid() {
		add("%s daddr %s", ipWord(r.Dest), r.Dest)
	}
	if r.NotDest.IsValid() {
		add("%s daddr != %s", ipWord(r.NotDest), r.NotDest)
	}
	words = append(words, r.portWords()...)
	if r.Owner != nil {
		words = append(words, r.Owner.String())
	}
	if r.Invalid {
		add("ct state invalid")
	}
	return strings.Join(append(words, r.Do.String()), " ")
}

func (r Rule) portWords() []string {
	name := map[Protocol]string{TCP: "tcp", UDP: "udp"}[r.Proto]
	var words []string
	if r.SourcePort != 0 {
		words = append(words, fmt.Sprintf("%s sport %d", name, r.SourcePort))
	}
	if r.Port != 0 {
		words = append(words, fmt.Sprintf("%s dport %d", name, r.Port))
	}
	for _, port := range r.NotPorts {
		words = append(words, fmt.Sprintf("%s dport != %d", name, port))
	}
	if name != "" && len(words) == 0 {
		words = append(words, "meta l4proto "+name)
	}
	return words
}

// String is the owner in nft's language.
func (o Owner) String() string {
	kind, not := "skgid", ""
	if o.UID {
		kind = "skuid"
	}
	if o.Not {
		not = "!= "
	}
	return fmt.Sprintf("meta %s %s%d", kind, not, o.ID)
}

// String is the verdict in nft's language.
func (v Verdict) String() string {
	switch v.Act {
	case ActReturn:
		return "return"
	case ActJump:
		return "jump " + v.Chain
	case ActRedirect:
		return fmt.Sprintf("redirect to :%d", v.Port)
	case ActZone:
		return fmt.Sprintf("ct zone set %d return", v.Zone)
	case ActDrop:
		return "drop"
	default:
		panic(fmt.Sprintf("unknown act %d", int(v.Act)))
	}
}

func ipWord(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "ip"
	}
	return "ip6"
}
