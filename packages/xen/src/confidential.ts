import type { ProcessorProfile } from "@hyperwalk/cpu";
import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import type { BootTarget, LoadedImage } from "./boot/index.js";
import type { P2m } from "./p2m.js";
import { type ResolvedDomainConfig, XenConfigError } from "./xen-config.js";

/** Kinds of confidential domains that this model has: memory encrypted, and registers too. */
export const CONFIDENTIAL_KINDS = ["sev", "sev-es"] as const;
export type ConfidentialKind = (typeof CONFIDENTIAL_KINDS)[number];

/** @throws XenConfigError for a kind that there is not, or that the machine or the rest of the configuration cannot have */
export function checkConfidential(config: ResolvedDomainConfig, profile: ProcessorProfile): void {
  const { confidential, vcpus, boot } = config;
  if (confidential === undefined) return;
  if (!CONFIDENTIAL_KINDS.includes(confidential))
    throw new XenConfigError(
      "domain.confidential",
      confidential,
      `${CONFIDENTIAL_KINDS.join(", ")} (SEV-SNP is not modelled)`,
    );
  if (profile.vendor !== "amd")
    throw new XenConfigError("domain.confidential", confidential, "nothing on Intel: SEV is AMD's");
  if (boot !== undefined && boot !== "pvh")
    throw new XenConfigError("domain.boot", boot, "pvh in a confidential domain");
  if (confidential === "sev-es" && vcpus !== 1)
    throw new XenConfigError("domain.vcpus", vcpus, "1 with SEV-ES: no other vCPU has a VMSA to start from");
}

/** A domain being built, with the guest frames that it will have encrypted. */
export interface LaunchedDomain extends BootTarget {
  /**
   * LAUNCH_UPDATE_DATA (SEV API, 6.2) over everything that was written and all of the image, zero-filled parts too: from
   * now on only the guest's key shows it. What was not launched is what the memory happens to decrypt to.
   */
  launch(image: LoadedImage): void;
}

/** @param key the guest's ASID */
export function launchedDomain(
  domain: BootTarget,
  memory: PhysicalMemory,
  p2m: P2m,
  key: number,
): LaunchedDomain {
  const frames = new Set<number>();
  const note = (address: number, bytes: number): void => {
    const end = Math.ceil((address + bytes) / FRAME_BYTES);
    for (let gfn = Math.floor(address / FRAME_BYTES); gfn < end; gfn++) frames.add(gfn);
  };
  return {
    config: domain.config,
    guestMemory: {
      writeBytes(address, bytes) {
        domain.guestMemory.writeBytes(address, bytes);
        note(address, bytes.length);
      },
    },
    launch(image) {
      note(image.start, image.end - image.start);
      for (const gfn of [...frames].sort((a, b) => a - b)) {
        const mfn = p2m.translate(gfn);
        if (mfn >= 0) memory.encryptInPlace(mfn, key);
      }
    },
  };
}
