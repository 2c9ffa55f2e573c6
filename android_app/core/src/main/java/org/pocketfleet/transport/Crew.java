package org.pocketfleet.transport;

import java.io.Closeable;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.pocketfleet.PocketfleetException;

/**
 * Threads that make several calls at once, for messages of many small objects over a line that is
 * long. They are started when they are first needed.
 */
final class Crew {
  static final int MAX_AT_ONCE = 8;

  /** Memory is scarce on phones. */
  private static final int BYTES_ON_THE_WAY = 4 << 20;

  private ExecutorService threads;

  /** A call that is made for one item. */
  interface Work<T, R> {
    /** Makes the call. */
    R apply(T item) throws PocketfleetException;
  }

  /** How many objects of up to this many bytes may be on the way at once. */
  static int atOnce(long largest) {
    return (int) Math.max(1, Math.min(MAX_AT_ONCE, BYTES_ON_THE_WAY / Math.max(largest, 1)));
  }

  /** Works on items, with up to {@code atOnce} in work or waiting to be taken. */
  <T, R> Results<T, R> inOrder(Work<T, R> work, List<T> items, int atOnce) {
    boolean alone = atOnce <= 1 || items.size() <= 1;
    return new Results<>(alone ? null : threads(), work, items, atOnce);
  }

  /** Lets the threads end. */
  synchronized void dismiss() {
    if (threads != null) {
      threads.shutdown();
    }
  }

  private synchronized ExecutorService threads() {
    if (threads == null) {
      threads =
          Executors.newFixedThreadPool(
              MAX_AT_ONCE,
              work -> {
                Thread thread = new Thread(work, "pocketfleet-call");
                thread.setDaemon(true);
                return thread;
              });
    }
    return threads;
  }

  /** The results, in the order of the items. */
  static final class Results<T, R> implements Closeable {
    private final ExecutorService threads;
    private final Work<T, R> work;
    private final Iterator<T> rest;
    private final Deque<Future<R>> running = new ArrayDeque<>();

    private Results(ExecutorService threads, Work<T, R> work, List<T> items, int atOnce) {
      this.threads = threads;
      this.work = work;
      this.rest = items.iterator();
      for (int at = 0; threads != null && at < atOnce; at++) {
        startOne();
      }
    }

    /**
     * Waits for the next result.
     *
     * @throws PocketfleetException the call went wrong
     */
    R next() throws PocketfleetException {
      if (threads == null) {
        return work.apply(rest.next());
      }
      try {
        R result = running.remove().get();
        startOne();
        return result;
      } catch (ExecutionException error) {
        Throwable cause = error.getCause();
        if (cause instanceof PocketfleetException) {
          throw (PocketfleetException) cause;
        }
        if (cause instanceof Error) {
          throw (Error) cause;
        }
        throw new IllegalStateException(cause);
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
        throw new LeavingException();
      }
    }

    /** Makes no more calls. */
    @Override
    public void close() {
      for (Future<R> future : running) {
        future.cancel(false);
      }
    }

    private void startOne() {
      if (rest.hasNext()) {
        T item = rest.next();
        running.add(threads.submit(() -> work.apply(item)));
      }
    }
  }
}
