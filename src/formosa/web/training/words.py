"""What the training page says, in both languages. The charts' own texts are keys, too."""

from __future__ import annotations

from formosa.web.picture_words import PICTURE_WORDS

TRAINING = {
    **PICTURE_WORDS,
    # the charts of train/curves.py
    "Loss": "損失",
    "nats": "nat",
    "Mean cross entropy of a learnt token; lower is better.": (
        "每個學習 token 的平均交叉熵，越低越好。"
    ),
    "Exact calls": "完全正確的呼叫",
    "Held-out rows answered with exactly the right calls.": (
        "保留資料中，呼叫與參數完全正確的比例。"
    ),
    "Wrongly called": "該不該呼叫",
    "Held-out rows whose reply begins as a call and should not, or should and does not; "
    "lower is better.": "保留資料中，不該呼叫卻呼叫、或該呼叫卻沒呼叫的比例，越低越好。",
    "where none should be": "不該呼叫卻呼叫",
    "none where one should be": "該呼叫卻沒呼叫",
    "Learning rate": "學習率",
    "As the schedule has it.": "依排程變化。",
    "Gradient norm": "梯度範數",
    "Before clipping; a jump often comes before a spike of the loss.": (
        "裁剪之前；損失突然升高之前，常會先跳一下。"
    ),
    "Speed": "速度",
    "tokens/s": "token／秒",
    "Over all processes.": "所有行程合計。",
    "Memory": "記憶體",
    "GB": "GB",
    "At its peak, of the first process.": "第一個行程的最高用量。",
    "training": "訓練",
    "held out": "保留資料",
    "held out, with calls": "保留資料中有呼叫的",
    "step": "步",
    "{value} at step {step}": "第 {step} 步：{value}",
    "{title} over the steps, from {first} to {last}. The table below has the values.": (
        "{title}隨步數的變化，從 {first} 到 {last}。數值在下方的表格。"
    ),
    # the page
    "Training of {name}": "{name} 的訓練",
    "{n} runs": "{n} 次執行",
    "What each run comes to so far": "每次執行目前的結果",
    "Run": "執行",
    "State": "狀態",
    "running": "執行中",
    "finished": "已完成",
    "stopped": "已停止",
    "Steps": "步數",
    "{step} of {steps}": "{step}／{steps}",
    "about {steps}": "約 {steps}",
    "Steps done": "已完成的步數",
    "Time left": "剩餘時間",
    "Time": "時間",
    "about {time}": "約 {time}",
    "Held-out loss": "保留資料損失",
    "{correct} of {of}": "{correct}／{of}",
    "Tokens": "token",
    "The values": "數值",
    "{title} by step": "{title}，依步數",
    "Nothing has been logged yet.": "還沒有任何紀錄。",
    "This page follows the training; it needs no reload.": "本頁會跟著訓練更新，不需要重新載入。",
    "Stopped before its last step. The same command continues from the last checkpoint.": (
        "在最後一步之前停止了。重新執行同一個命令，就會從最後的檢查點繼續。"
    ),
    "{n} spikes of the loss": "損失突升 {n} 次",
    "at step {steps}": "第 {steps} 步",
    "{name}: {state}, step {step}.": "{name}：{state}，第 {step} 步。",
    "{name}: measured at step {step}: held-out loss {loss}.": (
        "{name}：第 {step} 步的測量：保留資料損失 {loss}。"
    ),
    "Lay over one another": "疊在一起看",
    "Trainings that are here": "這裡的訓練",
    "No training has begun in the folders of these pages.": "這些資料夾裡還沒有開始任何訓練。",
    "Start one:": "開始一次訓練：",
    "{h} h {m} min": "{h} 小時 {m} 分",
    "{m} min {s} s": "{m} 分 {s} 秒",
    "{s} s": "{s} 秒",
    # settings
    "How it is trained": "訓練方式",
    "Base": "基底模型",
    "Method": "方法",
    "Rows of a step": "每步的資料列",
    "Longest row": "最長的資料列",
    "{n} tokens": "{n} 個 token",
    "Precision": "精度",
    "Machine": "機器",
    "Seed": "亂數種子",
    "Versions": "版本",
    "Thoughts of earlier turns": "先前回合的思考",
    "kept": "保留",
    "left out": "略去",
    # rows
    "The rows, as the model learns them": "模型所學的資料列",
    "Learnt text is coloured and underlined; the model only reads the rest.": (
        "上色並加底線的文字是模型要學會寫的，其餘只是它讀到的內容。"
    ),
    "Framed words are control tokens.": "加框的是控制 token。",
    "learnt": "要學",
    "only read": "只讀",
    "{n} rows": "{n} 列",
    "{n} whole": "完整 {n} 列",
    "{n} split": "切開 {n} 列",
    "{n} dropped: longer than {limit} tokens": "捨棄 {n} 列：超過 {limit} 個 token",
    "{n} dropped": "捨棄 {n} 列",
    "{n} turns of the assistant fit nowhere": "助理有 {n} 個回合放不進去",
    "{n} rows spell a control token; it stays words": (
        "{n} 列寫出了控制 token 的字樣，它們只當作一般文字"
    ),
    "{tokens} tokens, {learnt} of them learnt ({share})": (
        "{tokens} 個 token，其中 {learnt} 個要學（{share}）"
    ),
    "What became of the rows": "資料列的去向",
    "The longest rows": "最長的資料列",
    "Line": "行",
    "dropped or split": "捨棄或切開",
    "whole": "完整",
    "File": "檔案",
    "rows for training": "訓練資料",
    "held-out rows": "保留資料",
    "Source": "來源",
    "Kind": "種類",
    "all": "全部",
    "no name": "未註明",
    "Show": "顯示",
    "{matching} of {total} rows": "{total} 列中的 {matching} 列",
    "Page {number} of {pages}": "第 {number}／{pages} 頁",
    "First": "最前",
    "Previous": "上一頁",
    "Next": "下一頁",
    "Last": "最後",
    "Pages of rows": "資料列的頁面",
    "line {line}": "第 {line} 行",
    "{n} tools": "{n} 個工具",
    "{learnt} of {characters} characters learnt": "{characters} 個字元中要學 {learnt} 個",
    "sample {n} of {of}": "樣本 {n}／{of}",
    "{n} more characters": "還有 {n} 個字元",
    "A training would refuse this row: {why}": "訓練會拒絕這一列：{why}",
    "Shown with ChatML's control tokens: nothing here says yet which ones the base has.": (
        "以 ChatML 的控制 token 顯示：目前還沒有檔案說明基底模型用的是哪些。"
    ),
    "No row has this source and kind.": "沒有這個來源與種類的資料列。",
    "system": "系統",
    "user": "使用者",
    "assistant": "助理",
    "tool": "工具",
    "text": "文字",
    # replies
    "Held-out questions, as the model answered them": "模型對保留資料問題的回答",
    "Asked with greedy decoding while it trained.": "訓練期間以貪婪解碼詢問。",
    "Step {step}: {right} of {of} right": "第 {step} 步：{of} 題對 {right} 題",
    "Asked": "問題",
    "Wanted": "正解",
    "Said": "回答",
    "right": "正確",
    "wrong": "錯誤",
    "did not end": "沒有結束",
    "Question {n}": "第 {n} 題",
}
