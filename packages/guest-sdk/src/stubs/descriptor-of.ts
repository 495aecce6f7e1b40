import { DESCRIPTORS, type OperationDescriptor } from "@hyperwalk/xen";
import type { OperationName } from "./operations.gen.js";

const byName = new Map(DESCRIPTORS.map((descriptor) => [descriptor.name, descriptor]));

/** The descriptor with that name. */
export function descriptorOf(name: OperationName): OperationDescriptor {
  const found = byName.get(name);
  if (!found)
    throw new RangeError(`no operation ${name}: stubs and descriptors are from different descriptions`);
  return found;
}
