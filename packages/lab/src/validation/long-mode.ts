import { type Processor, Segment, State } from "@hyperwalk/cpu";

const CR0 = 0x80050033 | 0;
const CR4_PAE = 0x20;
const EFER = 0xd01;

/** Puts a processor without a hypervisor into 64-bit mode at CPL 0. @param rootFrame of its page tables */
export function enterLongMode(processor: Processor, rootFrame: number): void {
  const { words } = processor.state;
  words[State.Cr0] = CR0;
  words[State.Cr3Lo] = rootFrame * 4096;
  words[State.Cr4] = CR4_PAE;
  words[State.EferLo] = EFER;
  words[State.Cpl] = 0;
  words.set([0x08, 0xa09b, -1, 0, 0], State.Segments + 8 * Segment.Cs);
  for (const s of [Segment.Ss, Segment.Ds, Segment.Es, Segment.Fs, Segment.Gs])
    words.set([0x10, 0xc093, -1, 0, 0], State.Segments + 8 * s);
  processor.syncTranslation();
}
