import { findProfile, type ProcessorProfile, profileQuantities } from "@hyperwalk/cpu";
import type { StagePriceRecord } from "@hyperwalk/xen";
import { profileHash } from "./profile-hash.js";
import type { MachineSettings } from "./result.js";

/** A machine as results say it: beside its name, what tells it and the prices of the hypervisor's code from those of the package. */
export function machineSettings(machine: ProcessorProfile, prices: StagePriceRecord = {}): MachineSettings {
  const { id, name, vendor, frequency } = machine;
  const own = findProfile(id);
  const sha256 = own === machine ? undefined : profileHash(machine);
  const isOwn = own !== undefined && (sha256 === undefined || sha256 === profileHash(own));
  const set = { ...(own === undefined || isOwn ? {} : changed(machine, own)), ...prices };
  return {
    id,
    name,
    vendor,
    ghz: frequency.value,
    ...(isOwn ? {} : { sha256: sha256 ?? profileHash(machine) }),
    ...(Object.keys(set).length === 0 ? {} : { set }),
  };
}

function changed(machine: ProcessorProfile, own: ProcessorProfile): Record<string, number> {
  const usual = new Map(profileQuantities(own).map(([key, { value }]) => [key, value]));
  const numbers = profileQuantities(machine).map(([key, { value }]) => [key, value] as const);
  return Object.fromEntries(numbers.filter(([key, value]) => usual.get(key) !== value));
}
