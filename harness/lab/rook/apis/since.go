// What Rook 1.17.9 uses and its newest published API, of 2024-12-16, lacks beside fields.

package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	ReconcileRequeuing           ConditionReason = "ReconcileRequeuing"
	PoolNotEmptyReason           ConditionReason = "PoolNotEmpty"
	PoolEmptyReason              ConditionReason = "PoolEmpty"
	RadosNamespaceNotEmptyReason ConditionReason = "RadosNamespaceNotEmpty"
	RadosNamespaceEmptyReason    ConditionReason = "RadosNamespaceEmpty"

	ConditionPoolDeletionIsBlocked    ConditionType = "PoolDeletionIsBlocked"
	ConditionRadosNSDeletionIsBlocked ConditionType = "RadosNamespaceDeletionIsBlocked"

	ImplicitNamespaceKey = "<implicit>"
	ImplicitNamespaceVal = ""
)

type RgwReadAffinity struct {
	Type string `json:"type"`
}

type OpsLogSidecar struct {
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
}

type SecretReference struct {
	corev1.SecretReference `json:",secretReference"`
	UID                    types.UID `json:"uid,omitempty"`
	ResourceVersion        string    `json:"resourceVersion,omitempty"`
}

type ObjectUserKey struct {
	AccessKeyRef *corev1.SecretKeySelector `json:"accessKeyRef,omitempty"`
	SecretKeyRef *corev1.SecretKeySelector `json:"secretKeyRef,omitempty"`
}

func (p *CephBlockPoolRadosNamespace) GetStatusConditions() *[]Condition {
	return &p.Status.Conditions
}

// GetRadosNamespaceName is the name in Ceph: the object's own unless its spec has another.
func GetRadosNamespaceName(it *CephBlockPoolRadosNamespace) string {
	switch it.Spec.Name {
	case ImplicitNamespaceKey:
		return ImplicitNamespaceVal
	case "":
		return it.Name
	}
	return it.Spec.Name
}
