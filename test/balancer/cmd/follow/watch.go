package main

import (
	"context"
	"errors"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	discovery "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/drain-operator/drain-operator/test/balancer/follow"
)

// watchEndpoints follows the Service's EndpointSlices: which targets are ready, and that
// something has changed.
func watchEndpoints(ctx context.Context, o options) (changed <-chan struct{}, ready func() []follow.Target, err error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, nil, err
	}
	client, err := discovery.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	selector := discoveryv1.LabelServiceName + "=" + o.service
	slices := client.EndpointSlices(o.namespace)
	informer := cache.NewSharedInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, l metav1.ListOptions) (runtime.Object, error) {
			l.LabelSelector = selector
			return slices.List(ctx, l)
		},
		WatchFuncWithContext: func(ctx context.Context, l metav1.ListOptions) (watch.Interface, error) {
			l.LabelSelector = selector
			return slices.Watch(ctx, l)
		},
	}, &discoveryv1.EndpointSlice{}, 0)
	signal := make(chan struct{}, 1)
	tell := func() {
		select {
		case signal <- struct{}{}:
		default: // it is told already
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { tell() }, UpdateFunc: func(any, any) { tell() }, DeleteFunc: func(any) { tell() },
	}); err != nil {
		return nil, nil, err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, nil, errors.Join(errors.New("the endpoints were not read"), context.Cause(ctx))
	}
	return signal, func() []follow.Target { return follow.Ready(endpoints(informer.GetStore())) }, nil
}

func endpoints(store cache.Store) (found []*discoveryv1.EndpointSlice) {
	for _, o := range store.List() {
		slice, ok := o.(*discoveryv1.EndpointSlice)
		if !ok {
			panic(fmt.Sprintf("the store of EndpointSlices holds a %T", o))
		}
		found = append(found, slice)
	}
	return found
}
