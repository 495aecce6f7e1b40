/** Whether a machine is named by the path of a profile file, and not by an id: it has a folder or an ending. */
export function isProfilePath(idOrPath: string): boolean {
  return /[/\\]|\.(ya?ml|json)$/.test(idOrPath);
}
