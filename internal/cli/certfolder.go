package cli

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// certFolder is a working directory of the guides: a root, and a directory for each cluster. Nothing in it is ever overwritten.
type certFolder struct {
	dir string
	out io.Writer
}

// cacerts are the files of a cluster's directory.
var cacerts = []string{certs.CertFile, certs.KeyFile, certs.RootFile, certs.ChainFile}

// root reads the mesh's root, or makes it when neither of its files is there.
func (f certFolder) root(template certs.Template) (*certs.Authority, error) {
	files, err := readSet(f.dir, certs.RootFile, certs.RootKeyFile)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		root, problems := certs.ParseSelfSigned(files, certs.RootFile, certs.RootKeyFile, template.Now)
		if problems != nil {
			return nil, fmt.Errorf("the root in %s is not usable: %w", f.dir, certs.Explain(problems))
		}
		return root, nil
	}
	root, err := certs.NewRoot(template)
	if err != nil {
		return nil, err
	}
	made, err := root.Files()
	if err != nil {
		return nil, err
	}
	return root, f.write("", map[string][]byte{certs.RootFile: made[certs.CertFile], certs.RootKeyFile: made[certs.KeyFile]})
}

// intermediate reads the authority of a cluster, or makes it when none of its files is there, below the root.
func (f certFolder) intermediate(name string, rootTemplate, template certs.Template) (*certs.Authority, error) {
	if problems := validation.IsDNS1123Label(name); problems != nil {
		return nil, usageError(fmt.Errorf("name %q: %s", name, strings.Join(problems, ", ")))
	}
	files, err := readSet(filepath.Join(f.dir, name), cacerts...)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		return f.existing(name, files, template.Now)
	}
	root, err := f.root(rootTemplate)
	if err != nil {
		return nil, err
	}
	template.Locality = name
	authority, err := root.NewIntermediate(template)
	if err != nil {
		return nil, err
	}
	made, err := authority.Files()
	if err != nil {
		return nil, err
	}
	if err := f.write(name, made); err != nil {
		return nil, err
	}
	fmt.Fprintf(f.out, "Intermediate inputs stored in %s/\ndone\n", name)
	return authority, nil
}

// existing checks the files that a cluster has already, also against the root beside them.
func (f certFolder) existing(name string, files map[string][]byte, now time.Time) (*certs.Authority, error) {
	authority, problems := certs.ParseAuthority(files, now)
	if problems != nil {
		return nil, fmt.Errorf("the files in %s are not usable, and are left as they are: %w", filepath.Join(f.dir, name), certs.Explain(problems))
	}
	shared, err := os.ReadFile(filepath.Join(f.dir, certs.RootFile))
	switch {
	case errors.Is(err, fs.ErrNotExist): // the root may be kept elsewhere
	case err != nil:
		return nil, err
	case !bytes.Equal(shared, files[certs.RootFile]):
		return nil, fmt.Errorf("%s has another root than %s: clusters would not trust each other; move %s away to make it anew",
			filepath.Join(f.dir, name, certs.RootFile), filepath.Join(f.dir, certs.RootFile), filepath.Join(f.dir, name))
	}
	fmt.Fprintln(f.out, "done")
	return authority, nil
}

// workloadOrder is what a workload's certificate shall say.
type workloadOrder struct {
	namespace, serviceAccount, commonName string
	days                                  int
}

// workload makes the four files of a workload, signed by the intermediate of that name.
func (f certFolder) workload(authorityName, domainName string, order workloadOrder) error {
	domain, err := trust.ParseDomain(domainName)
	if err != nil {
		return usageError(err)
	}
	id := trust.WorkloadID(domain, order.namespace, order.serviceAccount)
	if id.IsZero() || order.days < 1 || validation.IsDNS1123Label(order.namespace) != nil {
		return usageError(fmt.Errorf("namespace %q, service account %q, %d days: no valid order", order.namespace, order.serviceAccount, order.days))
	}
	names := []string{"key.pem", "workload-cert.pem", "workload-cert-chain.pem"}
	there, err := readSet(filepath.Join(f.dir, order.namespace), names...)
	if err != nil {
		return err
	}
	switch len(there) {
	case 0:
	case len(names):
		fmt.Fprintln(f.out, "done")
		return nil
	default:
		return fmt.Errorf("%s holds only %s of a workload's files; move them away to make them anew",
			filepath.Join(f.dir, order.namespace), strings.Join(slices.Sorted(maps.Keys(there)), ", "))
	}
	template := certs.Template{Now: time.Now(), Random: rand.Reader}
	own := template
	own.DNSNames = []string{"istiod.istio-system.svc"}
	authority, err := f.intermediate(authorityName, template, own)
	if err != nil {
		return err
	}
	files, err := workloadFiles(authority, id, order)
	if err != nil {
		return err
	}
	if authorityName == order.namespace {
		delete(files, certs.RootFile) // the intermediate has put it there
	}
	return f.write(order.namespace, files)
}

// workloadFiles signs; the chain is leaf, intermediates, root.
func workloadFiles(authority *certs.Authority, id trust.ID, order workloadOrder) (map[string][]byte, error) {
	made, err := authority.ServerCertificate(certs.ServerRequest{
		ID: id, TTL: time.Duration(order.days) * 24 * time.Hour, KeySize: 2048, Now: time.Now(), Random: rand.Reader,
		Subject: pkix.Name{Organization: []string{"Istio"}, CommonName: order.commonName, Locality: []string{order.namespace}},
	})
	if err != nil {
		return nil, err
	}
	key, err := certs.EncodeKey(made.Key)
	if err != nil {
		return nil, err
	}
	var chain []byte
	for _, cert := range made.Chain {
		chain = append(chain, trust.EncodeCertificate(cert.Raw)...)
	}
	root := authority.Roots().PEM()
	return map[string][]byte{
		"key.pem": key, "workload-cert.pem": trust.EncodeCertificate(made.Chain[0].Raw),
		"workload-cert-chain.pem": append(chain, root...), certs.RootFile: root,
	}, nil
}

// readSet returns those of the files that are there.
func readSet(dir string, names ...string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	return files, nil
}

// write puts files that are not there yet into a directory of the folder. All of them appear or, but for a crash between two
// renames, none; keys are for their owner alone.
func (f certFolder) write(name string, files map[string][]byte) error {
	target := filepath.Join(f.dir, name)
	for file := range files {
		if _, err := os.Lstat(filepath.Join(target, file)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already and is not overwritten", filepath.Join(target, file))
		}
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(target, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	for file, content := range files {
		mode := fs.FileMode(0o644)
		if strings.Contains(file, "key") {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(aside, file), content, mode); err != nil {
			return err
		}
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(f.out, "generating %s\n", filepath.ToSlash(filepath.Join(name, file)))
		if err := os.Rename(filepath.Join(aside, file), filepath.Join(target, file)); err != nil {
			return err
		}
	}
	return nil
}
