package org.pocketfleet.bundle;

/** Hash and size of a file of a bundle. */
public final class FileEntry {
  private final String sha256;
  private final int bytes;

  FileEntry(String sha256, int bytes) {
    this.sha256 = sha256;
    this.bytes = bytes;
  }

  /** SHA-256 in 64 hexadecimal digits. */
  public String sha256() {
    return sha256;
  }

  /** Size in bytes. */
  public int bytes() {
    return bytes;
  }
}
