/**
 * Domains, vCPUs, p2m, guest access, hypercall ABIs and their path costs for the hyperwalk simulator.
 *
 * @packageDocumentation
 */

export * from "./boot/index.js";
export { CONSOLE_GFN, CONSOLE_TEXT_LIMIT, Console, type ConsoleMemory } from "./console.js";
export { Errno } from "./errno.js";
export { DOMID_SELF, EventChannels, type EventChannelsOptions } from "./event-channel.js";
export * from "./operations/descriptors.gen.js";
export { OPERATIONS, operationTable } from "./operations/index.js";
export type {
  Operation,
  OperationCall,
  OperationDescriptor,
  OperationField,
} from "./operations/operation.js";
export { Runstate, type RunstateSnapshot } from "./runstate.js";
export { VIRQ_TIMER } from "./virq.js";
