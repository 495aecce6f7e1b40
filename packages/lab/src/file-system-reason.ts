/** Why the file system refused something: `ENOENT`, or the words of an error without a code. */
export function fileSystemReason(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
