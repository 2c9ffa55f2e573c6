package org.pocketfleet.bundle;

import java.nio.ByteBuffer;
import java.util.Set;

/** Where a bundle's files are read from. Nothing is checked yet but that reading is safe. */
interface BundleFiles {
  /** Names of all files. */
  Set<String> names();

  /**
   * Reads a file.
   *
   * @param name of the file
   * @param limit most bytes that it may have
   * @return the bytes, in a direct buffer from position to limit
   * @throws BundleException the file is missing, larger, or cannot be read; the message begins with
   *     its name
   */
  ByteBuffer read(String name, int limit) throws BundleException;
}
