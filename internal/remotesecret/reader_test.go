package remotesecret_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/engine"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// An account made by the command must be able to do neither more nor less than one that an installation made.
func TestReaderRulesAreThoseOfTheBaseChart(t *testing.T) {
	t.Parallel()
	for _, document := range strings.Split(renderedReader(t), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind != "ClusterRole" {
			continue
		}
		if role.Name != "istio-reader-clusterrole-istio-system" {
			t.Errorf("the chart calls its role %s", role.Name)
		}
		if diff := cmp.Diff(role.Rules, remotesecret.ReaderRules()); diff != "" {
			t.Errorf("rules (-chart +command):\n%s", diff)
		}
		return
	}
	t.Fatal("the base chart's reader.yaml has no ClusterRole")
}

func renderedReader(t *testing.T) string {
	t.Helper()
	chart, err := loader.Load("../../charts/base")
	if err != nil {
		t.Fatal(err)
	}
	values, err := util.ToRenderValues(chart, nil, common.ReleaseOptions{Name: "base", Namespace: "istio-system"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(chart, values)
	if err != nil {
		t.Fatal(err)
	}
	return files["base/templates/reader.yaml"]
}
