package org.pocketfleet.transport;

import java.util.concurrent.atomic.AtomicLong;

/** Body bytes of some calls, which may be made by several threads. */
final class Traffic {
  private final AtomicLong sent = new AtomicLong();
  private final AtomicLong received = new AtomicLong();

  /** Counts one call. */
  void add(long sentBytes, long receivedBytes) {
    sent.addAndGet(sentBytes);
    received.addAndGet(receivedBytes);
  }

  long sent() {
    return sent.get();
  }

  long received() {
    return received.get();
  }
}
