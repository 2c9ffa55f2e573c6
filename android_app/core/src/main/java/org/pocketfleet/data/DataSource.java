package org.pocketfleet.data;

import org.pocketfleet.bundle.Manifest;

/** Where a client's samples come from. */
public interface DataSource {
  /**
   * Loads and checks the samples.
   *
   * @param manifest of the bundle that they are for: its input and its classes
   * @throws DataException they are missing, empty or unreadable, or do not fit; the message names
   *     the file
   */
  Dataset load(Manifest manifest) throws DataException;
}
