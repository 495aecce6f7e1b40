import { elfEntry, type LoadedImage, readElf } from "./elf-image.js";

/**
 * Checks an ELF image that starts as firmware does (`firmware_override` of xl): at `e_entry`, in 32-bit flat protected
 * mode, with nothing said about the domain.
 * @throws ImageError for every image that is not one, and nothing else
 */
export function loadHvmImage(image: Uint8Array): LoadedImage {
  const elf = readElf(image);
  const { segments, start, end } = elf;
  return { entry: elfEntry(elf), segments, start, end };
}
