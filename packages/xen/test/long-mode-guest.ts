import type { ProcessorProfile } from "@hyperwalk/cpu";
import { LongModeTables, Pte } from "@hyperwalk/mmu";
import { createXenSystem, type XenSystem } from "../src/xen.ts";
import type { DomainConfig } from "../src/xen-config.ts";
import { elfImage } from "./elf-image.ts";
import { type GuestScript, ScriptedProcessor } from "./scripted-processor.ts";

/** Pages of a guest's linear addresses: by default the third and fourth MiB where they lie. */
export interface MappedPages {
  readonly linear: number;
  readonly gfn: number;
  readonly count: number;
}

/** A scripted 64-bit guest of 64 MiB under Xen, with page tables of its own at `cr3` and these pages mapped writable. */
export function longModeGuest(
  profile: ProcessorProfile,
  domain: Pick<DomainConfig, "abi" | "hardwareDomain">,
  script: GuestScript,
  { linear, gfn, count }: MappedPages = { linear: 0x200, gfn: 0x200, count: 512 },
): { readonly system: XenSystem; readonly cpu: ScriptedProcessor } {
  const cpu = new ScriptedProcessor(profile, script);
  const system = createXenSystem({
    profile,
    domain: {
      image: elfImage({ bits: 64, segments: [{ address: 0x100000, bytes: 64 }] }),
      memoryBytes: 64 * 2 ** 20,
      ...domain,
    },
    processor: cpu.asProcessor(),
  });
  let next = 0x400;
  const tables = new LongModeTables({
    memory: cpu.memory,
    allocate: () => next++,
    locate: (frame) => system.domain.p2m.translate(frame),
  });
  tables.mapRange(linear, gfn, count, "4k", Pte.Present | Pte.Write | Pte.Accessed | Pte.Dirty);
  cpu.cr3 = tables.rootFrame * 4096;
  return { system, cpu };
}
