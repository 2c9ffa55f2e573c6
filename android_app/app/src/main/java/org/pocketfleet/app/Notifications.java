package org.pocketfleet.app;

import android.app.Notification;
import android.app.NotificationChannel;
import android.app.NotificationManager;
import android.app.PendingIntent;
import android.content.Context;
import android.content.Intent;
import android.graphics.drawable.Icon;

/** The notification that Android asks for while the client works, and the one about a problem. */
final class Notifications {
  static final int PROGRESS_ID = 1;
  static final int PROBLEM_ID = 2;
  private static final String CHANNEL = "training";

  private Notifications() {}

  /** Says what the client is doing, with a button to stop it. */
  static Notification progress(Context context, Status status) {
    PendingIntent stop =
        PendingIntent.getService(
            context,
            0,
            new Intent(context, FleetService.class).setAction(FleetService.STOP),
            PendingIntent.FLAG_IMMUTABLE);
    Notification.Builder builder =
        builder(context, status)
            .setOngoing(true)
            .setOnlyAlertOnce(true)
            .addAction(
                new Notification.Action.Builder(
                        Icon.createWithResource(context, R.drawable.notification),
                        context.getString(R.string.stop),
                        stop)
                    .build());
    if (status.phase == Status.Phase.WORKING && status.steps > 0) {
      builder.setProgress(
          (int) Math.min(status.steps, Integer.MAX_VALUE), (int) status.step, false);
    }
    return builder.build();
  }

  /** Shows, changes or, if {@code problem} is empty, removes the notification of a problem. */
  static void problem(Context context, String problem) {
    NotificationManager manager = context.getSystemService(NotificationManager.class);
    if (problem.isEmpty()) {
      manager.cancel(PROBLEM_ID);
    } else {
      Status failed = new Status(Status.Phase.FAILED, "", 0, 0, 0, problem);
      manager.notify(PROBLEM_ID, builder(context, failed).setAutoCancel(true).build());
    }
  }

  private static Notification.Builder builder(Context context, Status status) {
    context
        .getSystemService(NotificationManager.class)
        .createNotificationChannel(
            new NotificationChannel(
                CHANNEL,
                context.getString(R.string.notification_channel),
                NotificationManager.IMPORTANCE_LOW));
    PendingIntent open =
        PendingIntent.getActivity(
            context, 0, new Intent(context, MainActivity.class), PendingIntent.FLAG_IMMUTABLE);
    return new Notification.Builder(context, CHANNEL)
        .setSmallIcon(R.drawable.notification)
        .setContentTitle(status.headline())
        .setContentText(status.detail())
        .setStyle(new Notification.BigTextStyle().bigText(status.detail()))
        .setContentIntent(open);
  }
}
