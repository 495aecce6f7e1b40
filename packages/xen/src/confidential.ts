import type { ProcessorProfile } from "@hyperwalk/cpu";
import { FRAME_BYTES, type PhysicalMemory } from "@hyperwalk/mmu";
import type { BootTarget, LoadedImage } from "./boot/index.js";
import type { SecurePages } from "./host/svm/secure-pages.js";
import type { P2m } from "./p2m.js";
import { type ResolvedDomainConfig, XenConfigError } from "./xen-config.js";

/** Kinds of confidential domains: memory encrypted, registers too, and pages that belong to the guest alone. */
export const CONFIDENTIAL_KINDS = ["sev", "sev-es", "sev-snp"] as const;
export type ConfidentialKind = (typeof CONFIDENTIAL_KINDS)[number];

/** Whether the hypervisor sees none of the guest's registers: it asks through its GHCB. */
export function encryptsRegisters(kind: ConfidentialKind | undefined): boolean {
  return kind === "sev-es" || kind === "sev-snp";
}

/** @throws XenConfigError for a kind that there is not, or that the machine or the rest of the configuration cannot have */
export function checkConfidential(config: ResolvedDomainConfig, profile: ProcessorProfile): void {
  const { confidential, vcpus, boot } = config;
  if (confidential === undefined) return;
  if (!CONFIDENTIAL_KINDS.includes(confidential))
    throw new XenConfigError("domain.confidential", confidential, CONFIDENTIAL_KINDS.join(", "));
  if (profile.vendor !== "amd")
    throw new XenConfigError("domain.confidential", confidential, "nothing on Intel: SEV is AMD's");
  if (boot !== undefined && boot !== "pvh")
    throw new XenConfigError("domain.boot", boot, "pvh in a confidential domain");
  if (encryptsRegisters(confidential) && vcpus !== 1)
    throw new XenConfigError(
      "domain.vcpus",
      vcpus,
      "1 with SEV-ES and SEV-SNP: no other vCPU has a VMSA to start from",
    );
}

/** A domain being built, with the guest frames that it will have encrypted. */
export interface LaunchedDomain extends BootTarget {
  /**
   * LAUNCH_UPDATE_DATA (SEV API, 6.2) over everything that was written and all of the image, zero-filled parts too: from
   * now on only the guest's key shows it. What was not launched is what the memory happens to decrypt to. The frames of an
   * SEV-SNP guest (SNP_LAUNCH_UPDATE; SNP API, 8.17) are its own and validated from then on.
   */
  launch(image: LoadedImage): void;
}

/** @param key the guest's ASID @param pages of an SEV-SNP guest */
export function launchedDomain(
  domain: BootTarget,
  memory: PhysicalMemory,
  p2m: P2m,
  key: number,
  pages?: SecurePages,
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
        if (mfn < 0) continue;
        memory.encryptInPlace(mfn, key);
        pages?.launch(gfn, mfn);
      }
    },
  };
}
