package clusters

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// source is one kind of objects of one cluster: how to read them, and what to keep of them.
type source struct {
	name     string
	kind     registry.Kind
	example  runtime.Object // of what the API server sends
	client   any            // what list and open use; says whether it can stream lists
	list     func(context.Context, metav1.ListOptions) (runtime.Object, error)
	open     func(context.Context, metav1.ListOptions) (watch.Interface, error)
	trim     func(any) any // what to keep of an object; nil when nothing
	optional bool          // the API server may not know the kind
}

// feed takes what a source sees. Its functions are called by one goroutine at a time.
type feed struct {
	replace func(objects []any)          // exactly these are there
	put     func(object any)             // this one is there
	drop    func(namespace, name string) // this one is not
	alive   func()                       // nothing changed, but the API server speaks
	fault   func(err error)              // the source cannot be read; nil says that it can again
}

// watch reads a source until ctx ends. It lists and watches, resumes where a watch broke off, and lists again where it
// cannot.
func (src source) watch(ctx context.Context, to feed) {
	ctx = klog.NewContext(ctx, logr.Discard()) // faults are told by feed, once
	// Soon enough after an outage, and gentle to an API server that comes back.
	backoff := wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Steps: 6, Cap: 10 * time.Second, Jitter: 0.5}
	between := backoff
	r := cache.NewReflectorWithOptions(src.listWatch(to), src.example, &store{src, to}, cache.ReflectorOptions{
		Name: src.name, Backoff: &backoff,
	})
	// The reflector's own loop would log each error through a handler of the whole process.
	_ = between.DelayWithReset(clock.RealClock{}, time.Minute).Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		_ = r.ListAndWatchWithContext(ctx) // listWatch has told of it
		return false, nil
	})
}

// listWatch tells the feed how each request went. A source is sound when its watch is open.
func (src source) listWatch(to feed) listWatch {
	report := func(ctx context.Context, err error) {
		switch {
		case ctx.Err() != nil:
		case err == nil:
			to.fault(nil)
		case src.optional && apierrors.IsNotFound(err):
			to.replace(nil)
			to.fault(nil)
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			// Where to resume is forgotten, so the reflector lists again at once.
		default:
			to.fault(err)
		}
	}
	return listWatch{src.client, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := src.list(ctx, options)
			if err != nil {
				report(ctx, err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := src.open(ctx, options)
			if streamed := options.SendInitialEvents != nil; !streamed || !apierrors.IsInvalid(err) {
				report(ctx, err) // an API server that cannot stream lists is asked for a plain one next
			}
			return w, err
		},
	}}
}

// listWatch also says whether the client can stream lists, which fake ones cannot.
type listWatch struct {
	client any
	*cache.ListWatch
}

// IsWatchListSemanticsUnSupported is asked for by the reflector.
func (l listWatch) IsWatchListSemanticsUnSupported() bool {
	return watchlist.DoesClientNotSupportWatchListSemantics(l.client)
}

// store is the reflector's view of a feed. Objects are trimmed before anything keeps them, also while a list is streamed.
type store struct {
	src source
	to  feed
}

var (
	_ cache.TransformingStore      = (*store)(nil)
	_ cache.ReflectorBookmarkStore = (*store)(nil)
)

// Transformer implements cache.TransformingStore.
func (s *store) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return trimmed{s.src.trim(object)}, nil }
}

// trimmed marks what the transformer has been over.
type trimmed struct{ object any }

// Add implements cache.ReflectorStore.
func (s *store) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s *store) Update(object any) error {
	if keep := s.src.trim(object); keep != nil {
		s.to.put(keep)
		return nil
	}
	return s.Delete(object)
}

// Delete implements cache.ReflectorStore.
func (s *store) Delete(object any) error {
	m, err := meta.Accessor(object)
	if err != nil {
		return fmt.Errorf("read name of a deleted %s: %w", s.src.name, err)
	}
	s.to.drop(m.GetNamespace(), m.GetName())
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *store) Replace(objects []any, _ string) error {
	keep := make([]any, 0, len(objects))
	for _, object := range objects {
		t, done := object.(trimmed)
		if !done {
			t.object = s.src.trim(object)
		}
		if t.object != nil {
			keep = append(keep, t.object)
		}
	}
	s.to.replace(keep)
	return nil
}

// Bookmark implements cache.ReflectorBookmarkStore.
func (s *store) Bookmark(string) error {
	s.to.alive()
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *store) Resync() error { return nil }
