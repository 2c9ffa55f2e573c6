package org.pocketfleet.app;

import static org.junit.Assert.fail;
import static org.robolectric.Shadows.shadowOf;

import android.app.Application;
import android.content.Intent;
import android.os.BatteryManager;
import android.os.Looper;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.rules.ExternalResource;
import org.pocketfleet.PocketfleetException;
import org.robolectric.RuntimeEnvironment;

/** A phone for a test: charging, and with a client that does what the test says. */
final class Phone extends ExternalResource {
  /** Stands for a server that has nothing to ask until the client is stopped. */
  static final class IdleRun implements Run {
    final Settings settings;
    final StatusBoard board;
    final CountDownLatch begun = new CountDownLatch(1);
    private final CountDownLatch end = new CountDownLatch(1);
    private volatile Throwable problem;
    private volatile long rounds;

    IdleRun(Settings settings, StatusBoard board) {
      this.settings = settings;
      this.board = board;
    }

    @Override
    public void run() throws PocketfleetException {
      board.connected();
      begun.countDown();
      try {
        if (!end.await(180, TimeUnit.SECONDS)) {
          throw new IllegalStateException("the test has forgotten to stop the client");
        }
      } catch (InterruptedException interrupted) {
        throw new IllegalStateException(interrupted);
      }
      if (problem instanceof PocketfleetException) {
        throw (PocketfleetException) problem;
      } else if (problem instanceof Error) {
        throw (Error) problem;
      }
    }

    @Override
    public void stop() {
      end.countDown();
    }

    /** Makes the client end with a problem. */
    void fail(Throwable why) {
      problem = why;
      end.countDown();
    }

    /** Makes the client end as it does at its limit. */
    void finish(long after) {
      rounds = after;
      end.countDown();
    }

    @Override
    public long rounds() {
      return rounds;
    }
  }

  Application app;
  volatile IdleRun run;
  final AtomicInteger runs = new AtomicInteger();

  @Override
  protected void before() {
    app = RuntimeEnvironment.getApplication();
    power(true, 80);
    idleRuns();
  }

  /** Puts clients without a server in the place of the real ones. */
  void idleRuns() {
    Fleet.get()
        .replaceRuns(
            (context, settings, board) -> {
              runs.incrementAndGet();
              run = new IdleRun(settings, board);
              return run;
            });
  }

  @Override
  protected void after() {
    Fleet.get().stop();
    until("the client has ended", () -> !Fleet.get().running());
    Fleet.get().replaceRuns(FleetRun::new);
    Fleet.get().board().stopped("");
  }

  /** Plugs it in or out. */
  // Deprecated for apps; Android itself tells about the battery in this way.
  @SuppressWarnings("deprecation")
  void power(boolean plugged, int percent) {
    app.sendStickyBroadcast(
        new Intent(Intent.ACTION_BATTERY_CHANGED)
            .putExtra(BatteryManager.EXTRA_PLUGGED, plugged ? BatteryManager.BATTERY_PLUGGED_AC : 0)
            .putExtra(BatteryManager.EXTRA_LEVEL, percent)
            .putExtra(BatteryManager.EXTRA_SCALE, 100)
            .putExtra(BatteryManager.EXTRA_VOLTAGE, 3900)
            .putExtra(BatteryManager.EXTRA_TEMPERATURE, 315));
  }

  /** Saves settings with which the client can start. */
  Settings configured() {
    Settings.Builder builder = new Settings.Builder();
    builder.server = "127.0.0.1:9";
    builder.trust = "key";
    builder.data = app.getFilesDir().getPath();
    Settings settings = builder.build();
    SettingsStore.save(app, settings);
    return settings;
  }

  /** Lets the main thread do what waits for it, and what is about to be put there. */
  void settle() {
    for (int i = 0; i < 20; i++) {
      shadowOf(Looper.getMainLooper()).idleFor(10, TimeUnit.MILLISECONDS);
      try {
        Thread.sleep(5);
      } catch (InterruptedException interrupted) {
        throw new IllegalStateException(interrupted);
      }
    }
  }

  /** Something that becomes true. */
  interface Condition {
    boolean holds();
  }

  /** Waits, while the main thread does its work. */
  void until(String what, Condition condition) {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(180);
    while (!condition.holds()) {
      shadowOf(Looper.getMainLooper()).idleFor(50, TimeUnit.MILLISECONDS);
      if (System.nanoTime() > end) {
        fail("never: " + what + "; the status is " + Fleet.get().board().status().headline());
      }
      try {
        Thread.sleep(5);
      } catch (InterruptedException interrupted) {
        throw new IllegalStateException(interrupted);
      }
    }
  }
}
