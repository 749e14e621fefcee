package inject

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWorkloadIsWhatPeopleNamed(t *testing.T) {
	t.Parallel()
	owned := func(apiVersion, kind, name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Other", Name: "bystander"},
			{APIVersion: apiVersion, Kind: kind, Name: name, Controller: new(true)},
		}
	}
	cases := []struct {
		name   string
		meta   metav1.ObjectMeta
		want   string
		wanted string // ISTIO_META_OWNER
	}{
		{
			"deployment",
			metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": "7d"}, OwnerReferences: owned("apps/v1", "ReplicaSet", "web-v1-7d")},
			"web-v1", "kubernetes://apis/apps/v1/namespaces/sample/deployments/web-v1",
		},
		{
			"replica set of its own",
			metav1.ObjectMeta{OwnerReferences: owned("apps/v1", "ReplicaSet", "web-7d")},
			"web-7d", "kubernetes://apis/apps/v1/namespaces/sample/replicasets/web-7d",
		},
		{
			"cron job",
			metav1.ObjectMeta{OwnerReferences: owned("batch/v1", "Job", "backup-29384756")},
			"backup", "kubernetes://apis/batch/v1/namespaces/sample/cronjobs/backup",
		},
		{
			"job",
			metav1.ObjectMeta{OwnerReferences: owned("batch/v1", "Job", "migrate-2")},
			"migrate-2", "kubernetes://apis/batch/v1/namespaces/sample/jobs/migrate-2",
		},
		{
			"deployment config",
			metav1.ObjectMeta{Labels: map[string]string{"deploymentconfig": "web"}, OwnerReferences: owned("v1", "ReplicationController", "web-3")},
			"web", "kubernetes://apis/apps.openshift.io/v1/namespaces/sample/deploymentconfigs/web",
		},
		{"bare pod", metav1.ObjectMeta{Name: "solo"}, "solo", "kubernetes://apis/v1/namespaces/sample/pods/solo"},
		{"generated name", metav1.ObjectMeta{GenerateName: "solo-"}, "solo", "kubernetes://apis/v1/namespaces/sample/pods/solo"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := workloadOf(&corev1.Pod{ObjectMeta: c.meta})
			if got.name != c.want || got.owner("sample") != c.wanted {
				t.Errorf("got %s, %s", got.name, got.owner("sample"))
			}
		})
	}
}

func TestCanonicalNameFitsALabel(t *testing.T) {
	t.Parallel()
	pod := plainPod(nil)
	pod.Name = strings.Repeat("a", 62) + "-and-more"
	got, _ := injected(t, pod, Inputs{})
	if name := got.Labels[canonicalNameLabel]; name != strings.Repeat("a", 62) {
		t.Errorf("canonical name %s", name)
	}
}

func TestUserVolumesInBothForms(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, volume, mount, refused string }{
		{"objects", `{"v":{"emptyDir":{}}}`, `{"v":{"mountPath":"/v"}}`, ""},
		{"lists", `[{"name":"v","emptyDir":{}}]`, `[{"name":"v","mountPath":"/v"}]`, ""},
		{"unknown field", `{"v":{"emptyDirectory":{}}}`, `{}`, "emptyDirectory"},
		{"more behind it", `{} {"v":{}}`, `{}`, "userVolume"},
		{"the proxy's own volume", `{"istio-token":{"emptyDir":{}}}`, `{}`, "proxy's own"},
		{"the proxy's own folder", `{}`, `{"v":{"mountPath":"/var/run/secrets/tokens"}}`, "proxy's own"},
		{"no folder", `{}`, `{"v":{}}`, "mountPath"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pod := plainPod(map[string]string{userVolumeKey: c.volume, userVolumeMountKey: c.mount})
			got, problems := Inject(pod, Inputs{})
			if c.refused != "" {
				if text := Describe(problems); !strings.Contains(text, c.refused) {
					t.Errorf("got %q, want a problem with %q", text, c.refused)
				}
				return
			}
			if len(problems) > 0 {
				t.Fatal(Describe(problems))
			}
			mounts := injectedProxy(&got.Spec).VolumeMounts
			if last := mounts[len(mounts)-1]; last.Name != "v" || last.MountPath != "/v" {
				t.Errorf("mounts %v", mounts)
			}
			if last := got.Spec.Volumes[len(got.Spec.Volumes)-1]; last.Name != "v" || last.EmptyDir == nil {
				t.Errorf("volumes %v", got.Spec.Volumes)
			}
		})
	}
}
