package nds

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

var table = Table{
	"helloworld.sample.svc.cluster.local": {
		IPs: []string{"10.0.0.1", "fd00::1"}, Registry: Kubernetes, ShortName: "helloworld", Namespace: "sample",
	},
	"www.example.com": {IPs: []string{"240.240.0.1"}, Registry: External, AltHosts: []string{"example.com"}},
	"no.address":      {},
}

func TestTableSurvivesTheWire(t *testing.T) {
	t.Parallel()
	got, err := Unmarshal(table.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, got); diff != "" {
		t.Errorf("table changed on the wire (-want +got):\n%s", diff)
	}
}

func TestEqualTablesGiveEqualBytes(t *testing.T) {
	t.Parallel()
	want := table.Marshal()
	for range 20 {
		if !bytes.Equal(want, table.Marshal()) {
			t.Fatal("the encoding depends on map order")
		}
	}
}

// The message is described to the protobuf library here, which then has to read what Marshal wrote and the reverse.
func TestCodecAgreesWithProtobuf(t *testing.T) {
	t.Parallel()
	msg := dynamicpb.NewMessage(nameTable(t))
	if err := proto.Unmarshal(table.Marshal(), msg); err != nil {
		t.Fatal(err)
	}
	field := msg.Descriptor().Fields().ByName("table")
	if n := msg.Get(field).Map().Len(); n != len(table) {
		t.Fatalf("protobuf reads %d names, want %d", n, len(table))
	}
	again, err := proto.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unmarshal(again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, got); diff != "" {
		t.Errorf("what protobuf wrote is read differently (-want +got):\n%s", diff)
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	b := protowire.AppendTag(nil, 99, protowire.VarintType)
	b = protowire.AppendVarint(b, 7)
	b = append(b, table.Marshal()...)
	got, err := Unmarshal(b)
	if err != nil || len(got) != len(table) {
		t.Errorf("got %d names, error %v; want %d and none", len(got), err, len(table))
	}
}

func TestBrokenBytesAreAnError(t *testing.T) {
	t.Parallel()
	b := table.Marshal()
	if _, err := Unmarshal(b[:len(b)-3]); err == nil {
		t.Error("a table cut short was accepted")
	}
}

func nameTable(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	str := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	many := descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	msg := descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	field := func(name string, n int32, label *descriptorpb.FieldDescriptorProto_Label) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, Number: &n, Label: label, Type: str}
	}
	value := field("value", 2, one)
	value.Type, value.TypeName = msg, proto.String(".nds.NameTable.NameInfo")
	entries := field("table", 1, many)
	entries.Type, entries.TypeName = msg, proto.String(".nds.NameTable.TableEntry")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("nds.proto"), Package: proto.String("nds"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name:  proto.String("NameTable"),
			Field: []*descriptorpb.FieldDescriptorProto{entries},
			NestedType: []*descriptorpb.DescriptorProto{
				{Name: proto.String("NameInfo"), Field: []*descriptorpb.FieldDescriptorProto{
					field("ips", 1, many), field("registry", 2, one), field("shortname", 3, one),
					field("namespace", 4, one), field("alt_hosts", 5, many),
				}},
				{
					Name: proto.String("TableEntry"), Field: []*descriptorpb.FieldDescriptorProto{field("key", 1, one), value},
					Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
				},
			},
		}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}
