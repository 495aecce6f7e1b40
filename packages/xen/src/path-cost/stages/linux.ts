/** Source that stages of KVM and of its monitor share. */
export const LINUX = "estimate from reading Linux 6.12, not counted in a run";
