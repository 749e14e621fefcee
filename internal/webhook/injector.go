// Package webhook answers the API server when Pods are created, and keeps the API server's trust in it: the handler of
// /inject, the watch of the injector's configuration, and the CA bundle of the webhook configurations.
//
// istiod serves and runs it. What a Pod becomes is decided in package inject; a request is answered from memory alone,
// so no API server, no other cluster and no other pod can hold up a Pod's creation.
package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/inject"
)

// maxBody is above what an API server sends: objects end at 1.5 MiB, and a review holds one, twice at most.
const maxBody = 4 << 20

// InjectorOptions says what an Injector stands on.
type InjectorOptions struct {
	Config         *Config               // required
	NativeSidecars func() bool           // asked for each pod, so it must answer from memory; nil is "no"
	Metrics        prometheus.Registerer // nil: counted, but not shown
	Log            *slog.Logger          // nil: nothing is logged
}

// Injector is the handler of /inject and of the paths below it.
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
type Injector struct {
	options InjectorOptions
	metrics metrics
}

// NewInjector returns a handler that works as soon as the configuration has been read once.
func NewInjector(o InjectorOptions) *Injector {
	if o.NativeSidecars == nil {
		o.NativeSidecars = func() bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Injector{options: o, metrics: newMetrics(o.Metrics)}
}

// Register puts the handler at its paths.
func (i *Injector) Register(mux *http.ServeMux) {
	mux.Handle("/inject", i)
	mux.Handle("/inject/", i)
}

// ServeHTTP answers one AdmissionReview of admission.k8s.io/v1. A request that is no review gets an HTTP error, a
// Pod that cannot be injected gets a review that denies it and says why.
func (i *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	i.metrics.requests.Inc()
	defer func() { i.metrics.seconds.Observe(time.Since(start).Seconds()) }()

	env, err := envFromPath(r.URL.Path)
	if err != nil {
		i.refuseRequest(w, http.StatusBadRequest, err)
		return
	}
	request, code, err := readReview(w, r)
	if err != nil {
		i.refuseRequest(w, code, err)
		return
	}
	response := i.answer(request, env)
	response.UID = request.UID
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Response: response,
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(review); err != nil {
		i.options.Log.Warn("could not answer an injection request", "error", err)
	}
}

func (i *Injector) refuseRequest(w http.ResponseWriter, code int, err error) {
	i.metrics.failed.Inc()
	http.Error(w, err.Error(), code)
}

// readReview reads the request out of the body, or says with which HTTP status to refuse it.
func readReview(w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionRequest, int, error) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, errors.New("an AdmissionReview comes by POST")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge, err
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("read the request: %w", err)
	}
	if len(body) == 0 {
		return nil, http.StatusBadRequest, errors.New("no body found")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("invalid Content-Type, want `application/json`")
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("read the AdmissionReview: %w", err)
	}
	if review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Request == nil {
		return nil, http.StatusBadRequest, fmt.Errorf("want an AdmissionReview of %s with a request", admissionv1.SchemeGroupVersion)
	}
	return review.Request, http.StatusOK, nil
}

// answer never panics: a pod that breaks injection is denied, and the next one is served.
func (i *Injector) answer(request *admissionv1.AdmissionRequest, env map[string]string) (response *admissionv1.AdmissionResponse) {
	defer func() {
		if cause := recover(); cause != nil {
			i.options.Log.Error("injection panicked", "pod", podRef(request), "cause", cause, "stack", string(debug.Stack()))
			response = i.deny(request, http.StatusInternalServerError, fmt.Sprintf("injection failed inside istiod: %v", cause))
		}
	}()
	if request.Kind.Kind != "Pod" {
		return i.deny(request, http.StatusBadRequest, "only Pods are injected, not "+request.Kind.Kind)
	}
	in, ready := i.options.Config.Inputs()
	if !ready {
		return i.deny(request, http.StatusServiceUnavailable, "istiod has not read its injector configuration yet; try again in a moment")
	}
	in.Env = maps.Clone(env)
	in.NativeSidecar = i.options.NativeSidecars()
	return i.injectPod(request, in)
}

func (i *Injector) injectPod(request *admissionv1.AdmissionRequest, in inject.Inputs) *admissionv1.AdmissionResponse {
	original := &corev1.Pod{}
	if err := json.Unmarshal(request.Object.Raw, original); err != nil {
		return i.deny(request, http.StatusBadRequest, fmt.Sprintf("read the Pod: %v", err))
	}
	original.ManagedFields = nil
	pod := original.DeepCopy()
	if pod.Namespace == "" {
		pod.Namespace = request.Namespace
	}
	if wanted, reason := inject.Decide(pod, nil, in.Policy); !wanted {
		i.metrics.skipped.Inc()
		i.options.Log.Debug("pod not injected", "pod", podRef(request), "reason", reason)
		return &admissionv1.AdmissionResponse{Allowed: true, AuditAnnotations: map[string]string{"skipped": reason}}
	}
	injected, problems := inject.Inject(pod, in)
	if len(problems) > 0 {
		return i.deny(request, http.StatusUnprocessableEntity, inject.Describe(problems))
	}
	injected.Namespace = original.Namespace
	patch, err := patchBetween(request.Object.Raw, original, injected)
	if err != nil {
		return i.deny(request, http.StatusInternalServerError, fmt.Sprintf("make the patch: %v", err))
	}
	i.metrics.succeeded.Inc()
	kind := admissionv1.PatchTypeJSONPatch
	return &admissionv1.AdmissionResponse{Allowed: true, Patch: patch, PatchType: &kind}
}

func (i *Injector) deny(request *admissionv1.AdmissionRequest, code int32, why string) *admissionv1.AdmissionResponse {
	i.metrics.failed.Inc()
	i.options.Log.Warn("pod refused", "pod", podRef(request), "reason", why)
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reasonOf(code), Message: why,
	}}
}

func reasonOf(code int32) metav1.StatusReason {
	switch code {
	case http.StatusBadRequest:
		return metav1.StatusReasonBadRequest
	case http.StatusUnprocessableEntity:
		return metav1.StatusReasonInvalid
	case http.StatusServiceUnavailable:
		return metav1.StatusReasonServiceUnavailable
	default:
		return metav1.StatusReasonInternalError
	}
}

func podRef(request *admissionv1.AdmissionRequest) string {
	name := request.Name
	if name == "" {
		var pod metav1.PartialObjectMetadata
		if json.Unmarshal(request.Object.Raw, &pod) == nil {
			name = pod.GenerateName
		}
	}
	return request.Namespace + "/" + name
}
