package operator

import (
	"reflect"
	"slices"
	"sort"
)

// unread is a field that documents may set and that nothing reads.
type unread struct {
	instead string // what to write in its place; may be empty
	holds   []any  // values that say what is so anyway, and need no warning
}

// noEffect lists the unread fields by path; * stands for any key that is not listed beside it. Published documents and scripts have
// them, so they are no problem, but nobody should believe in them. A test holds that the list is complete and has nothing that works.
var noEffect = map[string]*unread{
	"spec.components.base.namespace":                      {instead: "use spec.values.global.readerServiceAccount.namespace"},
	"spec.components.base.hub":                            {instead: "the component has no image"},
	"spec.components.base.tag":                            {instead: "the component has no image"},
	"spec.components.base.k8s.*":                          {instead: "the component has no workload; it only takes overlays"},
	"spec.components.base.k8s.overlays":                   nil,
	"spec.values.defaultRevision":                         {},
	"spec.values.telemetry":                               {instead: "use spec.meshConfig"},
	"spec.values.base.defaultRevision":                    {},
	"spec.values.base.enableIstioConfigCRDs":              {holds: []any{true}},
	"spec.values.gateways.*.enabled":                      {instead: "use enabled below spec.components.ingressGateways or egressGateways"},
	"spec.values.gateways.*.name":                         {instead: "use name below spec.components.ingressGateways or egressGateways"},
	"spec.values.global.controlPlaneSecurityEnabled":      {holds: []any{true}},
	"spec.values.global.logAsJson":                        {holds: []any{false}},
	"spec.values.global.platform":                         {holds: []any{""}},
	"spec.values.global.proxy.lifecycle":                  {instead: "use the pods' own container istio-proxy"},
	"spec.values.global.proxy.privileged":                 {holds: []any{false}},
	"spec.values.global.proxy_init.image":                 {instead: "the init container runs the proxy's image"},
	"spec.values.global.proxy_init.resources":             {instead: "the init container has the proxy's"},
	"spec.values.global.resourceScope":                    {holds: []any{"", "all"}},
	"spec.values.global.variant":                          {holds: []any{""}},
	"spec.values.pilot.enabled":                           {instead: "use spec.components.pilot.enabled", holds: []any{true}},
	"spec.values.pilot.keepaliveMaxServerConnectionAge":   {},
	"spec.values.pilot.traceSampling":                     {instead: "tracing is not yet supported"},
	"spec.values.sidecarInjectorWebhook.defaultTemplates": {},
}

// says reports whether a value is what holds anyway.
func (u *unread) says(value any) bool {
	return slices.ContainsFunc(u.holds, func(held any) bool { return reflect.DeepEqual(held, value) })
}

// NoEffect says which settings of a document, a JSON tree, are accepted and will not change anything.
func NoEffect(doc map[string]any) []Problem {
	var problems []Problem
	find(&problems, "", "", doc)
	sort.SliceStable(problems, func(i, j int) bool { return problems[i].Path < problems[j].Path })
	return problems
}

// find walks a tree. The pattern is its path as noEffect spells it.
func find(problems *[]Problem, path, pattern string, tree map[string]any) {
	for key, value := range tree {
		at, known := join(path, key), join(pattern, key)
		if pattern == "spec.values.gateways" {
			known = pattern + ".*"
		}
		field, listed := noEffect[known]
		if !listed {
			field = noEffect[pattern+".*"]
		}
		if below, isMap := value.(map[string]any); isMap && field == nil {
			find(problems, at, known, below)
			continue
		}
		if field != nil && value != nil && !field.says(value) {
			*problems = append(*problems, Problem{Path: at, Text: "accepted, but has no effect yet", Fix: field.instead})
		}
	}
}
