import type { LoadedImage } from "./elf-image.js";
import {
  type BootOptions,
  type BootTarget,
  checkFits,
  type GuestStart,
  writeSegments,
} from "./guest-start.js";
import { ImageError } from "./image-error.js";
import { pvhMemoryMap } from "./memory-map.js";

/**
 * Puts an image that starts as firmware does into a fresh domain.
 * @throws ImageError `does-not-fit` when RAM below 4 GiB does not hold it, or for what it could not be told
 */
export function buildHvmDomain(
  domain: BootTarget,
  image: LoadedImage,
  options: BootOptions = {},
): GuestStart {
  if ((options.cmdline ?? "") !== "")
    throw new ImageError("does-not-fit", "cmdline", "text", "none: this start tells the guest nothing");
  if ((options.modules ?? []).length > 0)
    throw new ImageError("does-not-fit", "modules", "files", "none: this start tells the guest nothing");
  checkFits("end of the image", image.end, pvhMemoryMap(domain.config.memoryBytes)[0].size);
  writeSegments(domain, image);
  return { entry: image.entry, eax: 0, ebx: 0 };
}
