package org.pocketfleet.app;

import android.content.Context;
import java.io.File;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;

/**
 * The one client that this process may run, whoever asks for it: the service, a job, a test farm.
 */
final class Fleet {
  private static final Fleet INSTANCE = new Fleet();

  private final StatusBoard board = new StatusBoard();
  private Run.Factory runs = FleetRun::new;
  private Run running;

  private Fleet() {}

  static Fleet get() {
    return INSTANCE;
  }

  /** Puts other runs in the place of the real ones; for tests. */
  synchronized void replaceRuns(Run.Factory factory) {
    runs = factory;
  }

  /** What it is doing, for whoever shows it. */
  StatusBoard board() {
    return board;
  }

  /**
   * Starts a client on a thread of its own.
   *
   * @param ended told, on that thread, how it ended
   * @return false: one is running already, and nothing was done
   */
  synchronized boolean start(Context context, Settings settings, Ended ended) {
    if (running != null) {
      return false;
    }
    Context application = context.getApplicationContext();
    Run run = runs.make(application, settings, board);
    running = run;
    board.starting();
    new Thread(() -> work(application, settings, run, ended), "fleet").start();
    return true;
  }

  /**
   * Makes the client leave soon, if there is one; it takes up its work when it is started again.
   */
  synchronized void stop() {
    if (running != null) {
      running.stop();
    }
  }

  /** Whether there is a client. */
  synchronized boolean running() {
    return running != null;
  }

  private void work(Context context, Settings settings, Run run, Ended ended) {
    long startedMs = System.currentTimeMillis();
    File results = Places.results(context, settings.results);
    Throwable problem = null;
    EventLog log = EventLog.open(results);
    try {
      run.run();
    } catch (PocketfleetException | RuntimeException | Error error) {
      // The edge of the thread: an Error here must not take the screen and the service with it.
      problem = error;
      Events.error(error, "event=ended reason=%s", error.getMessage());
    }
    String words = problem == null ? "" : Words.of(problem);
    new Summary(startedMs, System.currentTimeMillis(), run.rounds(), words).write(context, results);
    log.close();
    synchronized (this) {
      running = null;
    }
    if (problem == null) {
      board.stopped(settings.maxRounds > 0 ? "Done. Rounds: " + run.rounds() + "." : "");
    } else {
      board.failed(words);
    }
    ended.ended(run.rounds(), words);
  }

  /** Hears the end. */
  interface Ended {
    /**
     * The client has ended.
     *
     * @param rounds training rounds whose answer the server has
     * @param problem why it could not go on, in words; empty: it was stopped
     */
    void ended(long rounds, String problem);
  }
}
