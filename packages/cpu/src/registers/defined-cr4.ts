import { Cr4 } from "../control-registers.js";
import { leafRegister } from "../cpuid.js";
import type { CpuidLeaf } from "../profile.js";

/** TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT: what every profile has. */
const CR4_DEFINED = 0x7fc;
/** A bit exists where CPUID shows its feature: leaf, register (ECX 2, EBX 1), feature bit, CR4 bit. */
const CR4_FEATURES: readonly (readonly [number, number, number, number])[] = [
  [1, 2, 5, Cr4.Vmxe],
  [1, 2, 17, Cr4.Pcide],
  [1, 2, 26, Cr4.OsXsave],
  [7, 1, 0, Cr4.FsGsBase],
  [7, 1, 7, Cr4.Smep],
  [7, 1, 20, Cr4.Smap],
  [7, 2, 2, Cr4.Umip],
  [7, 2, 3, Cr4.Pke],
  [7, 2, 16, Cr4.La57],
];

/** The CR4 bits that are not reserved on a processor with these CPUID leaves. */
export function definedCr4(cpuid: readonly CpuidLeaf[]): number {
  return CR4_FEATURES.reduce(
    (bits, [leaf, register, feature, bit]) =>
      (leafRegister(cpuid, leaf, register) & (1 << feature)) === 0 ? bits : bits | bit,
    CR4_DEFINED,
  );
}
