package install

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Part is one component's objects, or one gateway's.
type Part struct {
	Component string // Base, Pilot, IngressGateways or EgressGateways
	Name      string // of the release: istio-base, istiod, or the gateway's
	Objects   []*unstructured.Unstructured
}

// Render makes the objects of a plan out of the charts, part by part in the order of installation. They carry the labels by
// which a later installation finds them.
func Render(charts fs.FS, p Plan) ([]Part, error) {
	var parts []Part
	for _, r := range releases(p) {
		objects, err := render(charts, r)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", r.name, err)
		}
		for _, o := range r.overlays {
			if err := overlay(objects, o); err != nil {
				return nil, err
			}
		}
		for _, object := range objects {
			p.own(object, r.component, r.name)
		}
		parts = append(parts, Part{Component: r.component, Name: r.name, Objects: objects})
	}
	return parts, nil
}

// render is `helm template` for one release.
func render(charts fs.FS, r release) ([]*unstructured.Unstructured, error) {
	c, err := loadChart(charts, r.chart)
	if err != nil {
		return nil, err
	}
	options := common.ReleaseOptions{Name: r.name, Namespace: r.namespace, Revision: 1, IsInstall: true}
	// The charts ask nothing of the cluster's version, so that the same values always give the same manifests.
	values, err := util.ToRenderValues(c, r.values, options, common.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("values of chart %s: %w", r.chart, err)
	}
	files, err := engine.Render(c, values)
	if err != nil {
		return nil, templateError(err)
	}
	var objects []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") || strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		found, err := Objects([]byte(files[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		objects = append(objects, found...)
	}
	return Sorted(objects), nil
}

// templateError keeps what a template said with `fail` and drops the place in the template in front of it.
func templateError(err error) error {
	if place, said, ok := strings.Cut(err.Error(), "): "); ok && strings.HasPrefix(place, "execution error at (") {
		return errors.New(said)
	}
	return err
}

// loadChart reads one chart's folder.
func loadChart(charts fs.FS, name string) (*chart.Chart, error) {
	var files []*archive.BufferedFile
	err := fs.WalkDir(charts, name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(charts, file)
		if err != nil {
			return err
		}
		files = append(files, &archive.BufferedFile{Name: strings.TrimPrefix(file, name+"/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read chart %s: %w", name, err)
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("read chart %s: %w", name, err)
	}
	return c, nil
}
