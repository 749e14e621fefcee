package cli

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// shownCert is a certificate as show prints it.
type shownCert struct {
	File        string    `json:"file"`
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty"`
	CA          bool      `json:"ca"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	Key         string    `json:"key"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"sha256Fingerprint"`
}

func newCertShowCommand(g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "show FILE...",
		Short:   "Print what certificates say (- reads standard input)",
		Example: "  isthmus cert show cluster1/cert-chain.pem\n  isthmus cert show cluster1/ca-cert.pem -o json",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			var shown []shownCert
			for _, file := range args {
				text, err := readCerts(g, file)
				if err != nil {
					return err
				}
				list, err := trust.ParseCertificates(text)
				if err != nil {
					return codedError{fmt.Errorf("%s: %w", file, err), exitData}
				}
				for _, cert := range list {
					shown = append(shown, describe(file, cert))
				}
			}
			if output == "json" {
				return printIndented(g.Out, shown)
			}
			printCerts(g.Out, shown)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or nothing for text")
	completeOutput(cmd, "json")
	return cmd
}

// checkOutput accepts the output formats of the cert commands.
func checkOutput(format string) error {
	if format != "" && format != "json" {
		return usageError(fmt.Errorf("output %q: want json", format))
	}
	return nil
}

func printIndented(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func describe(file string, cert *x509.Certificate) shownCert {
	s := shownCert{
		File: file, Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), CA: cert.IsCA, NotBefore: cert.NotBefore.UTC(),
		NotAfter: cert.NotAfter.UTC(), Key: cert.PublicKeyAlgorithm.String(), Serial: cert.SerialNumber.Text(16),
		Fingerprint: trust.Fingerprint(cert),
	}
	for _, uri := range cert.URIs {
		s.Names = append(s.Names, uri.String())
	}
	s.Names = append(s.Names, cert.DNSNames...)
	return s
}

func printCerts(out io.Writer, shown []shownCert) {
	for i, s := range shown {
		if i > 0 {
			fmt.Fprintln(out)
		}
		kind := "end entity"
		if s.CA {
			kind = "authority"
		}
		fmt.Fprintf(out, "%s: %s\n  subject      %s\n  issuer       %s\n  names        %s\n  valid        %s to %s\n  key          %s\n  sha256       %s\n",
			s.File, kind, s.Subject, s.Issuer, strings.Join(s.Names, ", "),
			s.NotBefore.Format(time.RFC3339), s.NotAfter.Format(time.RFC3339), s.Key, s.Fingerprint)
	}
}

// checkedChain is the verdict on one cluster's directory.
type checkedChain struct {
	Directory string     `json:"directory"`
	OK        bool       `json:"ok"`
	Root      string     `json:"rootFingerprint,omitempty"`
	NotAfter  *time.Time `json:"notAfter,omitempty"`
	Problems  []string   `json:"problems,omitempty"`
}

func newCertVerifyChainCommand(g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "verify-chain DIR...",
		Short: "Check the files of clusters: complete, matching, leading to one shared root",
		Example: `  isthmus cert verify-chain cluster1 cluster2
  isthmus cert verify-chain cluster1 -o json`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			checked, err := checkChains(args, time.Now())
			if err != nil {
				return err
			}
			if output == "json" {
				err = printIndented(g.Out, checked)
			} else {
				printChains(g.Out, checked)
			}
			for _, c := range checked {
				if !c.OK {
					err = errors.Join(err, errors.New(c.Directory+" is not good"))
				}
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or nothing for text")
	completeOutput(cmd, "json")
	return cmd
}

// checkChains reads every directory, in either layout, and compares the roots with the first good one's.
func checkChains(dirs []string, now time.Time) ([]checkedChain, error) {
	var checked []checkedChain
	var first *certs.Authority
	firstDir := ""
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, err
		} else if !info.IsDir() {
			return nil, usageError(fmt.Errorf("%s is not a directory", dir))
		}
		files, err := readSet(dir, append(cacerts, certs.TLSCertFile, certs.TLSKeyFile, certs.TLSRootFile)...)
		if err != nil {
			return nil, err
		}
		authority, problems := certs.ParseAuthority(files, now)
		c := checkedChain{Directory: filepath.ToSlash(dir)}
		for _, p := range problems {
			c.Problems = append(c.Problems, p.String())
		}
		if authority != nil {
			end := authority.NotAfter().UTC()
			c.Root, c.NotAfter = authority.Roots().Fingerprint(), &end
			if first == nil {
				first, firstDir = authority, dir
			} else if !first.Roots().Equal(authority.Roots()) {
				c.Problems = append(c.Problems, fmt.Sprintf("%s: another root than %s (make both below one root, or they will not trust each other)",
					certs.RootFile, firstDir))
			}
		}
		c.OK = len(c.Problems) == 0
		checked = append(checked, c)
	}
	return checked, nil
}

func printChains(out io.Writer, checked []checkedChain) {
	for _, c := range checked {
		if c.OK {
			fmt.Fprintf(out, "%s: good, root %s, until %s\n", c.Directory, c.Root, c.NotAfter.Format(time.RFC3339))
			continue
		}
		fmt.Fprintf(out, "%s: not good\n", c.Directory)
		for _, problem := range c.Problems {
			fmt.Fprintf(out, "  %s\n", problem)
		}
	}
}
