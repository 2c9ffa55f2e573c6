package org.pocketfleet.app;

import android.app.Notification;
import android.app.NotificationManager;
import android.app.Service;
import android.content.Context;
import android.content.Intent;
import android.content.pm.ServiceInfo;
import android.os.Build;
import android.os.Handler;
import android.os.IBinder;
import android.os.Looper;
import android.os.PowerManager;
import org.pocketfleet.Events;
import org.pocketfleet.SettingsException;

/**
 * Keeps the client running while the screen is off. What it does is in the settings on the disk, so
 * that Android may kill the process at any time: it restarts the service, and the client takes up
 * its work from its state directory.
 */
public final class FleetService extends Service {
  /** Starts with the settings as they are, changed by the extras of {@link Arguments}. */
  static final String START = "org.pocketfleet.START";

  /** Stops, until a person starts it again. */
  static final String STOP = "org.pocketfleet.STOP";

  private static final long NOTIFY_EVERY_MS = 1000;
  private static final long LONGEST_LOCK_MS = 24L * 3600 * 1000;

  private final Handler main = new Handler(Looper.getMainLooper());
  private final Runnable show = this::show;
  private final Runnable watcher = this::changed;
  private PowerManager.WakeLock lock;
  private boolean mine;
  private boolean again;
  private int started;
  private volatile boolean pending;

  /** Starts it from within the app. */
  static void start(Context context) {
    context.startForegroundService(new Intent(context, FleetService.class).setAction(START));
  }

  @Override
  public void onCreate() {
    super.onCreate();
    lock =
        getSystemService(PowerManager.class)
            .newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "pocketfleet:training");
    lock.setReferenceCounted(false);
    Fleet.get().board().watch(watcher);
  }

  @Override
  public int onStartCommand(Intent intent, int flags, int startId) {
    // Android demands the notification of every start, one that only stops included.
    if (!foreground()) {
      RoundJob.scheduleSoon(this);
      stopSelf();
      return START_NOT_STICKY;
    }
    if (intent != null && STOP.equals(intent.getAction())) {
      SettingsStore.saveWanted(this, false);
      again = false;
      stopWork();
      return START_NOT_STICKY;
    }
    Settings settings = SettingsStore.load(this);
    if (intent != null) {
      try {
        settings = Arguments.apply(this, settings, intent.getExtras(), true);
      } catch (SettingsException wrong) {
        Events.error(wrong, "event=wrong-settings reason=%s", wrong.getMessage());
        Notifications.problem(this, wrong.getMessage());
        if (!mine) {
          leave();
        }
        return START_NOT_STICKY;
      }
      Settings.Builder wanted = settings.change();
      wanted.wanted = true;
      settings = wanted.build();
      SettingsStore.save(this, settings);
    } else if (!settings.wanted) {
      stopWork();
      return START_NOT_STICKY;
    }
    work(settings);
    return START_STICKY;
  }

  private void work(Settings settings) {
    Notifications.problem(this, "");
    lock.acquire(LONGEST_LOCK_MS);
    int number = started + 1;
    boolean begun =
        Fleet.get()
            .start(
                this,
                settings,
                (rounds, problem) ->
                    main.post(() -> ended(number, problem, reached(settings, rounds))));
    // One that is still leaving is followed by another; that of a job is left alone.
    again = mine && !begun;
    if (begun) {
      mine = true;
      started = number;
    }
    show();
  }

  private void ended(int number, String problem, boolean done) {
    if (number != started) {
      // The next one has begun before the main thread heard of this end.
      return;
    }
    mine = false;
    if (again && problem.isEmpty()) {
      work(SettingsStore.load(this));
      return;
    }
    if (!problem.isEmpty()) {
      Notifications.problem(this, problem);
    } else if (done) {
      // Done for good: neither a restart nor a reboot shall begin again.
      SettingsStore.saveWanted(this, false);
    }
    leave();
  }

  /** Whether a run ended at its limit, and not because the service was destroyed, say. */
  private static boolean reached(Settings settings, long rounds) {
    return Limits.reached(settings.maxRounds, settings.endAtMs, rounds, System.currentTimeMillis());
  }

  /** Stops the client, if there is one; {@link #ended} does the rest. */
  private void stopWork() {
    Fleet.get().stop();
    if (!mine) {
      leave();
    }
  }

  private void leave() {
    if (lock.isHeld()) {
      lock.release();
    }
    stopForeground(STOP_FOREGROUND_REMOVE);
    stopSelf();
  }

  /** Whether Android lets this service be one of the foreground. */
  private boolean foreground() {
    Notification notification = Notifications.progress(this, Fleet.get().board().status());
    try {
      if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
        foreground(notification);
      } else {
        startForeground(Notifications.PROGRESS_ID, notification);
      }
      return true;
    } catch (IllegalStateException | SecurityException refused) {
      // From the background, or after six hours in a day (Android 15).
      Events.warn("event=no-foreground reason=%s", refused.getMessage());
      return false;
    }
  }

  @NewerAndroid(Build.VERSION_CODES.Q)
  private void foreground(Notification notification) {
    startForeground(
        Notifications.PROGRESS_ID, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_DATA_SYNC);
  }

  /**
   * Android 15 ends services of this type after six hours a day: the client leaves, and goes on in
   * jobs. (It overrides a method that the Android compiled against does not have.)
   */
  public void onTimeout(int startId, int type) {
    Events.info("event=service-timeout");
    RoundJob.scheduleSoon(this);
    Fleet.get().stop();
    leave();
  }

  private void changed() {
    // At most one notification a second: Android drops more.
    if (!pending) {
      pending = true;
      main.postDelayed(show, NOTIFY_EVERY_MS);
    }
  }

  private void show() {
    pending = false;
    if (mine) {
      getSystemService(NotificationManager.class)
          .notify(
              Notifications.PROGRESS_ID,
              Notifications.progress(this, Fleet.get().board().status()));
    }
  }

  @Override
  public void onDestroy() {
    Fleet.get().board().unwatch(watcher);
    main.removeCallbacks(show);
    if (mine) {
      Fleet.get().stop();
    }
    if (lock.isHeld()) {
      lock.release();
    }
    super.onDestroy();
  }

  @Override
  public IBinder onBind(Intent intent) {
    return null;
  }
}
