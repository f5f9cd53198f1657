package server

import corev1 "k8s.io/api/core/v1"

// Ending is what a server does to requests in flight on a signal.
type Ending string

// Endings.
const (
	// Softly lets them end, within the server's timeout.
	Softly Ending = "Softly"
	// AtOnce cuts them.
	AtOnce Ending = "AtOnce"
	// NotAtAll: the server goes on.
	NotAtAll Ending = "NotAtAll"
)

// endings by signal. On others, servers go on.
var endings = map[Kind]map[corev1.Signal]Ending{
	Gunicorn:  {corev1.SIGTERM: Softly, corev1.SIGINT: AtOnce, corev1.SIGQUIT: AtOnce},
	Uvicorn:   {corev1.SIGTERM: Softly, corev1.SIGINT: Softly},
	Hypercorn: {corev1.SIGTERM: Softly, corev1.SIGINT: Softly},
	Nginx:     {corev1.SIGTERM: AtOnce, corev1.SIGINT: AtOnce, corev1.SIGQUIT: Softly},
	HAProxy:   {corev1.SIGTERM: AtOnce, corev1.SIGINT: AtOnce, corev1.SIGUSR1: Softly},
}

// On is what the server does on a signal.
func (s Server) On(signal corev1.Signal) Ending {
	if ending, found := endings[s.Kind][signal]; found {
		return ending
	}
	return NotAtAll
}

// SoftSignal is the one on which the server ends softly, SIGTERM where that is
// one of them.
func (s Server) SoftSignal() corev1.Signal {
	for _, signal := range []corev1.Signal{corev1.SIGTERM, corev1.SIGQUIT, corev1.SIGUSR1} {
		if s.On(signal) == Softly {
			return signal
		}
	}
	return corev1.SIGTERM
}
