package org.pocketfleet.app;

import android.app.job.JobInfo;
import android.app.job.JobParameters;
import android.app.job.JobScheduler;
import android.app.job.JobService;
import android.content.ComponentName;
import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import java.util.concurrent.TimeUnit;
import org.pocketfleet.Events;

/**
 * Takes part in rounds by itself, when Android finds the time: about ten minutes at once, under the
 * conditions of the policy. It goes on where the last window ended.
 */
public final class RoundJob extends JobService {
  static final int PERIODIC_ID = 1;
  static final int SOON_ID = 2;
  private static final long PERIOD_MS = TimeUnit.MINUTES.toMillis(30);

  /** After this a window that has nothing to do is given back. */
  private static final long WINDOW_MS = TimeUnit.MINUTES.toMillis(8);

  private final Handler main = new Handler(Looper.getMainLooper());

  /** The job whose client is running; 0: none. */
  private int active;

  /** Brings the periodic job into line with the settings. */
  static void schedule(Context context, Settings settings) {
    JobScheduler scheduler = context.getSystemService(JobScheduler.class);
    if (!settings.background) {
      scheduler.cancel(PERIODIC_ID);
      return;
    }
    check(scheduler.schedule(job(context, settings, PERIODIC_ID).setPeriodic(PERIOD_MS).build()));
  }

  /** Runs once as soon as the conditions allow: where the service may not go on. */
  static void scheduleSoon(Context context) {
    check(
        context
            .getSystemService(JobScheduler.class)
            .schedule(job(context, SettingsStore.load(context), SOON_ID).build()));
  }

  private static JobInfo.Builder job(Context context, Settings settings, int id) {
    return new JobInfo.Builder(id, new ComponentName(context, RoundJob.class))
        .setPersisted(true)
        .setRequiresCharging(settings.chargingOnly && settings.gated)
        .setRequiresDeviceIdle(settings.idleOnly && settings.gated)
        .setRequiresBatteryNotLow(settings.gated)
        .setRequiredNetworkType(
            settings.unmeteredOnly && settings.gated
                ? JobInfo.NETWORK_TYPE_UNMETERED
                : JobInfo.NETWORK_TYPE_ANY);
  }

  private static void check(int result) {
    if (result != JobScheduler.RESULT_SUCCESS) {
      Events.warn("event=job-refused");
    }
  }

  @Override
  public boolean onStartJob(JobParameters parameters) {
    Settings settings = SettingsStore.load(this);
    boolean wanted = parameters.getJobId() == SOON_ID ? settings.wanted : settings.background;
    if (!wanted || (settings.gated && !ready(settings))) {
      return false;
    }
    Settings.Builder window = settings.change();
    long end = System.currentTimeMillis() + WINDOW_MS;
    window.endAtMs = settings.endAtMs > 0 ? Math.min(settings.endAtMs, end) : end;
    boolean begun =
        Fleet.get()
            .start(this, window.build(), (rounds, problem) -> main.post(() -> ended(parameters)));
    active = begun ? parameters.getJobId() : active;
    return begun;
  }

  private void ended(JobParameters parameters) {
    active = 0;
    jobFinished(parameters, false);
  }

  private boolean ready(Settings settings) {
    return FleetRun.gate(this, settings).decide("start of background rounds").allowed();
  }

  @Override
  public boolean onStopJob(JobParameters parameters) {
    if (parameters.getJobId() == active) {
      Fleet.get().stop();
    }
    return true;
  }
}
