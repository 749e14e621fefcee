// Package nft writes the rules of package capture into the kernel over netlink, without any tool. The agent's init container
// uses it in the pod's network namespace. It decides nothing about what is captured.
package nft

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/isthmus-mesh/isthmus/internal/capture"
)

// Apply replaces the table by one that holds exactly these chains. The kernel takes all of it or nothing, so that no packet
// ever meets half of the rules; applying the same again changes nothing.
func Apply(chains []capture.Chain) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	table := &nftables.Table{Name: capture.Table, Family: nftables.TableFamilyINet}
	// Deleting a table that is not there is an error, adding one that is there is none.
	conn.AddTable(table)
	conn.DelTable(table)
	conn.AddTable(table)
	for _, chain := range chains {
		conn.AddChain(kernelChain(table, chain))
	}
	for _, chain := range chains {
		for _, rule := range chain.Rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Name: chain.Name, Table: table}, Exprs: expressions(rule)})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables table %s (does the kernel have nf_tables with nat, redirect and ct zones, and this "+
			"process CAP_NET_ADMIN?): %w", capture.Table, err)
	}
	return nil
}

func kernelChain(table *nftables.Table, chain capture.Chain) *nftables.Chain {
	k := &nftables.Chain{Name: chain.Name, Table: table}
	if chain.Hook == capture.NoHook {
		return k
	}
	accept := nftables.ChainPolicyAccept
	k.Policy = &accept
	switch chain.Hook {
	case capture.PreroutingNAT:
		k.Type, k.Hooknum, k.Priority = nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest
	case capture.OutputNAT:
		k.Type, k.Hooknum, k.Priority = nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest
	case capture.PreroutingRaw:
		k.Type, k.Hooknum, k.Priority = nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw
	case capture.OutputRaw:
		k.Type, k.Hooknum, k.Priority = nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityRaw
	case capture.PreroutingMangle:
		k.Type, k.Hooknum, k.Priority = nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle
	default:
		panic(fmt.Sprintf("unknown hook %d", int(chain.Hook)))
	}
	return k
}

// verdict is the end of a rule.
func verdict(v capture.Verdict) []expr.Any {
	switch v.Act {
	case capture.ActReturn:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}
	case capture.ActJump:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: v.Chain}}
	case capture.ActRedirect:
		return []expr.Any{
			&expr.Immediate{Register: register, Data: bigEndian16(v.Port)},
			&expr.Redir{RegisterProtoMin: register},
		}
	case capture.ActZone:
		return []expr.Any{
			&expr.Immediate{Register: register, Data: native16(v.Zone)},
			&expr.Ct{Register: register, SourceRegister: true, Key: expr.CtKeyZONE},
			&expr.Verdict{Kind: expr.VerdictReturn},
		}
	case capture.ActDrop:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	default:
		panic(fmt.Sprintf("unknown act %d", int(v.Act)))
	}
}
