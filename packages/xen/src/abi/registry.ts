import type { HypercallAbiName } from "../xen-config.js";
import type { DomainAbi } from "./domain-abi.js";
import { fastabi } from "./fastabi-domain.js";
import { LinearAbi } from "./linear.js";
import { percall } from "./percall.js";
import { PhysaddrAbi } from "./physaddr.js";
import { registered } from "./registered.js";
import { scatterGather } from "./scatter-gather.js";

/** XEN_HVM_CPUID_PHYS_ADDR_ABI of one proposal, XEN_HVM_CPUID_FASTABI of the other. */
const HVM_CPUID_NEW_ABI = 1 << 7;

const linear: DomainAbi = {
  name: "linear",
  pointers: "linear",
  cpuidFeatures: 0,
  make: ({ operations, registers, linear, cost }) => [new LinearAbi(operations, registers, linear, cost)],
};

const physaddr: DomainAbi = {
  name: "physaddr",
  pointers: "physical",
  cpuidFeatures: HVM_CPUID_NEW_ABI,
  make: ({ operations, registers, physical, cost }) => [
    new PhysaddrAbi(operations, registers, physical, cost),
  ],
};

/** The interfaces that a domain's configuration can name. */
export const DOMAIN_ABIS: Readonly<Record<HypercallAbiName, DomainAbi>> = {
  linear,
  physaddr,
  percall: percall(),
  "sg-frames": scatterGather("frames"),
  "sg-tuples": scatterGather("tuples"),
  "sg-descriptor": scatterGather("descriptor"),
  registered: registered(),
  fastabi: fastabi(),
};
