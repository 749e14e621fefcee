package main

import "testing"

// The arguments of Istio's own manifests.
func TestFlagsOfIstiosManifestsAreTaken(t *testing.T) {
	t.Parallel()
	command := newCommand()
	if err := command.ParseFlags([]string{
		"--monitoringAddr=:15014", "--log_output_level=default:info", "--domain", "cluster.local",
		"--keepaliveMaxServerConnectionAge", "30m", "--log_as_json", "--secureGRPCAddr", "",
	}); err != nil {
		t.Fatal(err)
	}
	if got := command.Flag("secureGRPCAddr").Value.String(); got != "" {
		t.Errorf("secureGRPCAddr is %q, want it off", got)
	}
}
