package org.pocketfleet.transport;

import java.io.Closeable;
import java.nio.ByteBuffer;
import java.util.List;
import org.pocketfleet.PocketfleetException;

/** Gets objects' bytes by id. */
interface ObjectSource {
  /**
   * Starts fetching.
   *
   * @param ids what to fetch, in the order in which it will be taken
   * @param atOnce how many may be fetched ahead of what is taken
   */
  Stream open(List<String> ids, int atOnce);

  /** Objects that are on their way. */
  interface Stream extends Closeable {
    /**
     * Waits for the next object.
     *
     * @throws PocketfleetException it cannot be had
     */
    ByteBuffer next() throws PocketfleetException;

    /** Fetches no more. */
    @Override
    void close();
  }
}
