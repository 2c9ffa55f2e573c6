package org.pocketfleet.app;

import android.app.Activity;
import android.app.Instrumentation;
import android.content.Context;
import android.content.pm.ApplicationInfo;
import android.os.Bundle;
import android.os.PowerManager;
import java.util.concurrent.CountDownLatch;
import org.pocketfleet.SettingsException;

/**
 * Runs the client for a test farm or a script: {@code am instrument -w -r -e rounds 3
 * org.pocketfleet.app/.FleetInstrumentation}. It reports as a test runner with one test would, and
 * leaves its results in the folder that {@code adb pull} can read.
 *
 * <p>Android lets every app start an instrumentation. So in a release build it takes limits alone
 * and works with the settings that the phone's owner or the adb shell made before.
 */
public final class FleetInstrumentation extends Instrumentation {
  private static final int STARTED = 1;
  private static final int PROGRESS = 2;
  private static final int PASSED = 0;
  private static final int FAILED = -2;
  private static final long LONGEST_LOCK_MS = 24L * 3600 * 1000;

  private final Shell shell;
  private Bundle arguments;

  /** For Android. */
  public FleetInstrumentation() {
    this.shell = new Real();
  }

  FleetInstrumentation(Shell shell) {
    this.shell = shell;
  }

  /** What it needs of Android, and whom it tells. */
  interface Shell {
    /** The app's own context. */
    Context context();

    /** Prints a status. */
    void status(int code, Bundle bundle);

    /** Ends the process with a result. */
    void finish(int code, Bundle result);
  }

  /** Android itself. */
  private final class Real implements Shell {
    @Override
    public Context context() {
      return getTargetContext();
    }

    @Override
    public void status(int code, Bundle bundle) {
      sendStatus(code, bundle);
    }

    @Override
    public void finish(int code, Bundle result) {
      FleetInstrumentation.this.finish(code, result);
    }
  }

  @Override
  public void onCreate(Bundle given) {
    super.onCreate(given);
    arguments = given == null ? new Bundle() : given;
    start();
  }

  @Override
  public void onStart() {
    super.onStart();
    work(arguments);
  }

  /** Starts the client, waits for its end and reports it. */
  void work(Bundle given) {
    Bundle test = new Bundle();
    test.putString("id", "pocketfleet");
    test.putString("class", FleetInstrumentation.class.getName());
    test.putString("test", "train");
    test.putInt("numtests", 1);
    test.putInt("current", 1);
    shell.status(STARTED, test);
    Outcome outcome = new Outcome();
    try {
      run(given, outcome);
    } catch (SettingsException error) {
      outcome.problem = error.getMessage();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      outcome.problem = "it was interrupted";
    }
    boolean good = outcome.problem.isEmpty();
    if (!good) {
      test.putString("stack", outcome.problem);
    }
    shell.status(good ? PASSED : FAILED, test);
    Bundle result = new Bundle();
    result.putLong("rounds", outcome.rounds);
    result.putString("problem", outcome.problem);
    result.putString("results", outcome.results);
    result.putString(
        REPORT_KEY_STREAMRESULT,
        good ? "\nOK (" + outcome.rounds + " rounds)\n" : "\nFAILED: " + outcome.problem + "\n");
    shell.finish(good ? Activity.RESULT_OK : Activity.RESULT_CANCELED, result);
  }

  /** How it went. */
  private static final class Outcome {
    long rounds;
    String problem = "";
    String results = "";
  }

  private void run(Bundle given, Outcome outcome) throws SettingsException, InterruptedException {
    Context context = shell.context();
    boolean debuggable =
        (context.getApplicationInfo().flags & ApplicationInfo.FLAG_DEBUGGABLE) != 0;
    Settings settings = Arguments.apply(context, SettingsStore.load(context), given, debuggable);
    outcome.results = Places.results(context, settings.results).getPath();
    PowerManager.WakeLock lock =
        context
            .getSystemService(PowerManager.class)
            .newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "pocketfleet:instrumentation");
    lock.acquire(LONGEST_LOCK_MS);
    CountDownLatch done = new CountDownLatch(1);
    Progress progress = new Progress();
    StatusBoard board = Fleet.get().board();
    board.watch(progress);
    try {
      boolean started =
          Fleet.get()
              .start(
                  context,
                  settings,
                  (rounds, problem) -> {
                    outcome.rounds = rounds;
                    outcome.problem = problem;
                    done.countDown();
                  });
      if (!started) {
        throw new SettingsException("a client is running already; stop it first");
      }
      done.await();
    } finally {
      board.unwatch(progress);
      lock.release();
    }
  }

  /** A status line for every change but those of the step. */
  private final class Progress implements Runnable {
    private String last = "";

    @Override
    public synchronized void run() {
      Status status = Fleet.get().board().status();
      String now = status.headline() + " " + status.round + " " + status.words;
      if (!now.equals(last)) {
        last = now;
        Bundle bundle = new Bundle();
        bundle.putString("phase", status.headline());
        bundle.putString("task", status.task);
        bundle.putLong("round", status.round);
        bundle.putString("words", status.words);
        shell.status(PROGRESS, bundle);
      }
    }
  }
}
