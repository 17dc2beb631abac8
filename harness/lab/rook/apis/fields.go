// Fields that Rook 1.17.9 reads and its newest published API, of 2024-12-16, lacks: each struct here
// is added to the struct of that name. Rook's release replaces its API by a folder of its
// repository, which its Go module does not hold; the definitions of its kinds have these fields.

package v1

type ClusterSpec struct {
	CephConfigFromSecret map[string]map[string]v1.SecretKeySelector `json:"cephConfigFromSecret,omitempty"`
}

type MonSpec struct {
	ExternalMonIDs []string `json:"externalMonIDs,omitempty"`
}

type GatewaySpec struct {
	OpsLogSidecar       *OpsLogSidecar                  `json:"opsLogSidecar,omitempty"`
	RgwConfig           map[string]string               `json:"rgwConfig,omitempty"`
	RgwConfigFromSecret map[string]v1.SecretKeySelector `json:"rgwConfigFromSecret,omitempty"`
	RgwCommandFlags     map[string]string               `json:"rgwCommandFlags,omitempty"`
	ReadAffinity        *RgwReadAffinity                `json:"readAffinity,omitempty"`
}

type ObjectStoreUserStatus struct {
	Keys []SecretReference `json:"keys,omitempty"`
}

type ObjectStoreUserSpec struct {
	Keys []ObjectUserKey `json:"keys,omitempty"`
}

type BucketTopicStatus struct {
	Secrets []SecretReference `json:"secrets,omitempty"`
}

type KafkaEndpointSpec struct {
	Mechanism         string                `json:"mechanism,omitempty"`
	UserSecretRef     *v1.SecretKeySelector `json:"userSecretRef,omitempty"`
	PasswordSecretRef *v1.SecretKeySelector `json:"passwordSecretRef,omitempty"`
}

type MirroringStatusSummarySpec struct {
	ImageStates *StatesSpec `json:"image_states,omitempty"`
	GroupHealth string      `json:"group_health,omitempty"`
	GroupStates *StatesSpec `json:"group_states,omitempty"`
}

type ClientSpec struct {
	SecretName   string `json:"secretName,omitempty"`
	RemoveSecret bool   `json:"removeSecret,omitempty"`
}

type CephExporterSpec struct {
	HostNetwork *bool `json:"hostNetwork,omitempty"`
}

type CSIDriverSpec struct {
	SkipUserCreation bool `json:"skipUserCreation,omitempty"`
}

type ObjectRealmSpec struct {
	DefaultRealm bool `json:"defaultRealm,omitempty"`
}

type ObjectStoreSpec struct {
	DefaultRealm bool `json:"defaultRealm,omitempty"`
}

type CleanupPolicySpec struct {
	WipeDevicesFromOtherClusters bool `json:"wipeDevicesFromOtherClusters,omitempty"`
}

type CephBlockPoolRadosNamespaceStatus struct {
	Conditions []Condition `json:"conditions,omitempty"`
}
