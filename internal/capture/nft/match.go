package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/internal/capture"
)

// register is the one that every expression loads into and compares; the rules need no second.
const register = 1

// expressions are one rule as the kernel's small machine runs it: load, compare, load, compare, then the verdict.
func expressions(r capture.Rule) []expr.Any {
	var out []expr.Any
	if r.Family != 0 {
		out = append(out, family(byte(r.Family))...)
	}
	if r.In != "" {
		out = append(out, meta(expr.MetaKeyIIFNAME, expr.CmpOpEq, interfaceName(r.In))...)
	}
	if r.Out != "" {
		out = append(out, meta(expr.MetaKeyOIFNAME, expr.CmpOpEq, interfaceName(r.Out))...)
	}
	if r.Source.IsValid() {
		out = append(out, address(r.Source, true, expr.CmpOpEq)...)
	}
	if r.Dest.IsValid() {
		out = append(out, address(r.Dest, false, expr.CmpOpEq)...)
	}
	if r.NotDest.IsValid() {
		out = append(out, address(r.NotDest, false, expr.CmpOpNeq)...)
	}
	out = append(out, transport(r)...)
	if r.Owner != nil {
		out = append(out, owner(*r.Owner)...)
	}
	if r.Invalid {
		out = append(out, invalid()...)
	}
	return append(out, verdict(r.Do)...)
}

func family(f byte) []expr.Any { return meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{f}) }

func meta(key expr.MetaKey, op expr.CmpOp, want []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: register},
		&expr.Cmp{Op: op, Register: register, Data: want},
	}
}

// address compares the network part of the packet's source or destination.
func address(p netip.Prefix, source bool, op expr.CmpOp) []expr.Any {
	// Offsets in the IPv4 and IPv6 headers.
	proto, offset, size := byte(unix.NFPROTO_IPV4), uint32(16), uint32(4)
	if p.Addr().Is6() {
		proto, offset, size = unix.NFPROTO_IPV6, 24, 16
	}
	if source {
		offset -= size
	}
	p = p.Masked()
	out := append(family(proto), &expr.Payload{
		DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size,
	})
	if p.Bits() < int(size)*8 {
		out = append(out, &expr.Bitwise{
			SourceRegister: register, DestRegister: register, Len: size, Mask: mask(p.Bits(), int(size)), Xor: make([]byte, size),
		})
	}
	return append(out, &expr.Cmp{Op: op, Register: register, Data: p.Addr().AsSlice()})
}

func mask(bits, size int) []byte {
	m := make([]byte, size)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

func transport(r capture.Rule) []expr.Any {
	if r.Proto == 0 {
		return nil
	}
	out := meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{byte(r.Proto)})
	if r.SourcePort != 0 {
		out = append(out, port(0, expr.CmpOpEq, r.SourcePort)...)
	}
	if r.Port != 0 {
		out = append(out, port(2, expr.CmpOpEq, r.Port)...)
	}
	for _, not := range r.NotPorts {
		out = append(out, port(2, expr.CmpOpNeq, not)...)
	}
	return out
}

// port compares the source port at offset 0 or the destination port at offset 2 of the TCP or UDP header.
func port(offset uint32, op expr.CmpOp, want uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: op, Register: register, Data: bigEndian16(want)},
	}
}

func owner(o capture.Owner) []expr.Any {
	key, op := expr.MetaKeySKGID, expr.CmpOpEq
	if o.UID {
		key = expr.MetaKeySKUID
	}
	if o.Not {
		op = expr.CmpOpNeq
	}
	return meta(key, op, binary.NativeEndian.AppendUint32(nil, o.ID))
}

func invalid() []expr.Any {
	bit := binary.NativeEndian.AppendUint32(nil, expr.CtStateBitINVALID)
	return []expr.Any{
		&expr.Ct{Register: register, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: bit, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: make([]byte, 4)},
	}
}

// interfaceName is compared whole, so that "eth1" does not match "eth10".
func interfaceName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func bigEndian16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func native16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
