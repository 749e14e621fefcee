package trust

import "testing"

func TestParseIDTakesOnlyTheWorkloadShape(t *testing.T) {
	t.Parallel()
	cases := []struct {
		uri string
		ok  bool
	}{
		{"spiffe://cluster.local/ns/sample/sa/curl", true},
		{"spiffe://td/ns/a/sa/b.c-d", true},
		{"spiffe://cluster.local/ns/sample/sa/", false},
		{"spiffe://cluster.local/ns//sa/curl", false},
		{"spiffe://cluster.local/ns/sample/sa/curl/x", false},
		{"spiffe://cluster.local/ns/sample", false},
		{"spiffe://cluster.local/sa/sample/ns/curl", false},
		{"spiffe://cluster.local/ns/sample/sa/curl?x=1", false},
		{"spiffe://cluster.local/ns/../sa/curl", false},
		{"https://cluster.local/ns/sample/sa/curl", false},
		{"spiffe:///ns/sample/sa/curl", false},
		{"", false},
	}
	for _, c := range cases {
		id, err := ParseID(c.uri)
		if (err == nil) != c.ok {
			t.Errorf("ParseID(%q): %v, want ok=%v", c.uri, err, c.ok)
		}
		if err == nil && id.String() != c.uri {
			t.Errorf("ParseID(%q) prints %q", c.uri, id)
		}
		if err != nil && !id.IsZero() {
			t.Errorf("ParseID(%q) failed but returned %q", c.uri, id)
		}
	}
}

func TestWorkloadIDEqualsItsParsedForm(t *testing.T) {
	t.Parallel()
	want := WorkloadID(MustDomain("cluster.local"), "sample", "curl")
	got, err := ParseID(want.String())
	if err != nil || got != want {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	if got.Principal() != "cluster.local/ns/sample/sa/curl" {
		t.Errorf("principal %q", got.Principal())
	}
	for _, bad := range []ID{
		WorkloadID(Domain{}, "a", "b"),
		WorkloadID(want.Domain(), "", "b"),
		WorkloadID(want.Domain(), "a/sa/x", "b"),
	} {
		if !bad.IsZero() || bad.String() != "" {
			t.Errorf("invalid parts made %q", bad)
		}
	}
}

func TestParseDomainReadsAtAsDot(t *testing.T) {
	t.Parallel()
	if d, err := ParseDomain("me@example.com"); err != nil || d.String() != "me.example.com" {
		t.Errorf("got %v, %v", d, err)
	}
	for _, bad := range []string{"", "UPPER case", "a/b"} {
		if d, err := ParseDomain(bad); err == nil {
			t.Errorf("%q parsed as %q", bad, d)
		}
	}
}

func TestFromUserWantsAServiceAccount(t *testing.T) {
	t.Parallel()
	domain := MustDomain("cluster.local")
	cases := []struct{ user, want string }{
		{"system:serviceaccount:sample:curl", "spiffe://cluster.local/ns/sample/sa/curl"},
		{"system:serviceaccount:sample", ""},
		{"system:serviceaccount::", ""},
		{"system:node:n1", ""},
		{"kubernetes-admin", ""},
	}
	for _, c := range cases {
		id, err := FromUser(domain, c.user)
		if id.String() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("FromUser(%q) = %q, %v, want %q", c.user, id, err, c.want)
		}
	}
}
