package org.pocketfleet.transport;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Says once that the client is to leave, and ends waits. */
public final class StopSignal {
  private final CountDownLatch latch = new CountDownLatch(1);

  /** Makes the client leave. */
  public void set() {
    latch.countDown();
  }

  /** Whether the client is to leave. */
  public boolean isSet() {
    return latch.getCount() == 0;
  }

  /**
   * Waits, unless the client is to leave.
   *
   * @throws LeavingException it is, or the thread was interrupted
   */
  public void sleep(double seconds) throws LeavingException {
    try {
      if (latch.await((long) (seconds * 1e9), TimeUnit.NANOSECONDS)) {
        throw new LeavingException();
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new LeavingException();
    }
  }
}
