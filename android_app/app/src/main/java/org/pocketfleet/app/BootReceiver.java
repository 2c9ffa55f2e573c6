package org.pocketfleet.app;

import android.content.BroadcastReceiver;
import android.content.Context;
import android.content.Intent;
import org.pocketfleet.Events;

/** After a reboot, and after an update of the app, goes on if the person had it on. */
public final class BootReceiver extends BroadcastReceiver {
  @Override
  public void onReceive(Context context, Intent intent) {
    String action = intent.getAction();
    if (!Intent.ACTION_BOOT_COMPLETED.equals(action)
        && !Intent.ACTION_MY_PACKAGE_REPLACED.equals(action)) {
      return;
    }
    Settings settings = SettingsStore.load(context);
    RoundJob.schedule(context, settings);
    if (settings.wanted) {
      try {
        FleetService.start(context);
      } catch (IllegalStateException refused) {
        Events.warn("event=no-start-after-boot reason=%s", refused.getMessage());
        RoundJob.scheduleSoon(context);
      }
    }
  }
}
