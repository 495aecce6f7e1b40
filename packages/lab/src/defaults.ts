/** Hypercalls in a guest's measured loop: a power of two, so that figures per call are exact. */
export const DEFAULT_ITERATIONS = 16384;
/** The same for each run of a sensitivity analysis, which makes hundreds of them. */
export const DEFAULT_SENSITIVITY_ITERATIONS = 256;
/** Guest instructions after which a run that has not ended is stopped. */
export const DEFAULT_MAX_INSTRUCTIONS = 200_000_000;
/** Guest instructions after which `boot` stops a guest that has not ended. */
export const DEFAULT_BOOT_INSTRUCTIONS = 2_000_000_000;
/** Memory of a booted guest, bytes. */
export const DEFAULT_BOOT_MEMORY: number = 128 * 2 ** 20;
/** Guest memory. */
export const DEFAULT_MEMORY_MIB = 64;
/**
 * MMIO handlers of the domain. Three make the domain of the second instruction count on real Xen (by difference to the
 * first: an estimate); a bare PVH domain has one.
 */
export const DEFAULT_MMIO_HANDLERS = 3;
