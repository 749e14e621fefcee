package cloud

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	servicecontroller "k8s.io/cloud-provider/controllers/service"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/metrics/prometheus/controllers"
)

// Options are what a controller has to know.
type Options struct {
	Kubeconfig string
	Cluster    string
	Range      netip.Prefix
}

// Run hands out addresses until the context ends.
func Run(ctx context.Context, o Options) error {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	addresses := newPool(o.Range)
	if err := remember(ctx, client, addresses); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 10*time.Minute)
	controller, err := servicecontroller.New(provider{addresses}, client,
		factory.Core().V1().Services(), factory.Core().V1().Nodes(), o.Cluster, featuregate.NewFeatureGate())
	if err != nil {
		return fmt.Errorf("make service controller: %w", err)
	}
	factory.Start(ctx.Done())
	controller.Run(ctx, 2, controllers.NewControllerManagerMetrics("isthmus-lab-cloud-controller"))
	factory.Shutdown()
	return ctx.Err()
}

// remember takes the addresses that Services have already, before any new Service can be given one of them.
func remember(ctx context.Context, client kubernetes.Interface, addresses *pool) error {
	services, err := client.CoreV1().Services(meta.NamespaceAll).List(ctx, meta.ListOptions{})
	if err != nil {
		return fmt.Errorf("list Services: %w", err)
	}
	for _, service := range services.Items {
		if service.Spec.Type != core.ServiceTypeLoadBalancer || len(service.Status.LoadBalancer.Ingress) == 0 {
			continue
		}
		if _, err := addresses.take(owner(&service), wanted(&service)...); err != nil {
			return err
		}
	}
	return nil
}
