package org.pocketfleet.app;

import android.content.Context;
import org.pocketfleet.PocketfleetException;

/** One client from start to end. */
interface Run {
  /**
   * Works until it is stopped or a limit is reached.
   *
   * @throws PocketfleetException it cannot go on; {@link Words} explains it
   */
  void run() throws PocketfleetException;

  /** Makes {@link #run} return soon; may be called from any thread, before it has begun, too. */
  void stop();

  /** Training rounds whose answer the server has. */
  long rounds();

  /** Makes runs. */
  interface Factory {
    /** Makes one. */
    Run make(Context context, Settings settings, StatusBoard board);
  }
}
