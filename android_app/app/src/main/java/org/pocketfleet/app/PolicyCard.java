package org.pocketfleet.app;

import android.app.Activity;
import android.widget.Switch;

/** When the phone may work. */
final class PolicyCard implements Card {
  private final Switch background;
  private final Switch charging;
  private final Switch unmetered;
  private final Switch idle;

  PolicyCard(Activity activity, Runnable changed) {
    background = toggle(activity, R.id.policy_background, changed);
    charging = toggle(activity, R.id.policy_charging, changed);
    unmetered = toggle(activity, R.id.policy_unmetered, changed);
    idle = toggle(activity, R.id.policy_idle, changed);
  }

  private static Switch toggle(Activity activity, int id, Runnable changed) {
    Switch view = activity.findViewById(id);
    // On click, not on change: what the screen sets by itself is no wish of the person.
    view.setOnClickListener(clicked -> changed.run());
    return view;
  }

  @Override
  public void show(Settings settings, Status status) {
    background.setChecked(settings.background);
    charging.setChecked(settings.chargingOnly);
    unmetered.setChecked(settings.unmeteredOnly);
    idle.setChecked(settings.idleOnly);
  }

  @Override
  public void collect(Settings.Builder settings) {
    settings.background = background.isChecked();
    settings.chargingOnly = charging.isChecked();
    settings.unmeteredOnly = unmetered.isChecked();
    settings.idleOnly = idle.isChecked();
  }
}
