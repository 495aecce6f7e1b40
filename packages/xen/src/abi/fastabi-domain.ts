import type { DomainAbi } from "./domain-abi.js";
import { FastAbi } from "./fastabi.js";
import { RfcFastAbi } from "./fastabi-rfc.js";
import { LinearAbi } from "./linear.js";

/** XEN_HVM_CPUID_FASTABI. */
const HVM_CPUID_FASTABI = 1 << 7;

export interface FastAbiOptions {
  /** Behave as the RFC's code does where that is not what its document says, see {@link RfcFastAbi}; default false. */
  readonly rfcQuirks?: boolean | undefined;
}

/**
 * A domain that has FastABI besides the traditional interface, for `DomainConfig.abi`.
 *
 * @example
 * createXenSystem({ profile, domain: { image, memoryBytes, abi: fastabi({ rfcQuirks: true }) } });
 */
export function fastabi(options: FastAbiOptions = {}): DomainAbi {
  const rfcQuirks = options.rfcQuirks === true;
  return {
    name: "fastabi",
    ...(rfcQuirks ? { options: { rfcQuirks } } : {}),
    pointers: "linear",
    cpuidFeatures: HVM_CPUID_FASTABI,
    make: ({ operations, registers, linear, physical, cost }) => {
      const before = new LinearAbi(operations, registers, linear, cost);
      const fast = rfcQuirks
        ? new RfcFastAbi(operations, registers, physical, linear, cost)
        : new FastAbi(operations, registers, physical, cost);
      return [fast, before];
    },
  };
}
